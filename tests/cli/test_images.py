"""``mirror images``: what is stored, whole lists and single names."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from tests.api.services import MemoryMirror, make_mirror, repository
from tests.cli.conftest import Impostor, Running, Serve, Shell
from tests.simulated_hub import blob, make_image, make_index
from tests.world import SettableClock

TERMINAL = Shell({"FORCE_COLOR": "1", "COLUMNS": "80", "TERM": "xterm-256color"})
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
IMAGE = make_image(layers=[blob("layer", 5000)])
ARM = make_image(layers=[blob("arm", 5000)], architecture="arm64")
NGINX = repository("docker.io/library/nginx")
APP = repository("ghcr.io/a-team-with-a-long-name/a-service-with-a-long-name/and-a-part-of-it")


@pytest.fixture
def running(serve: Serve) -> Running:
    mirror = make_mirror()
    _set(mirror.clock, datetime.now(UTC) - timedelta(hours=2, minutes=5))
    running = serve(mirror)
    running.do(_fill(mirror))
    return running


def _set(clock: SettableClock, moment: datetime) -> None:
    clock.jump(moment - clock.now())


async def _fill(mirror: MemoryMirror) -> None:
    await mirror.hold_index(NGINX, "latest", make_index([IMAGE, ARM]))
    await mirror.hold(NGINX, None, IMAGE)
    await mirror.hold(NGINX, "1.27", ARM, whole=False)
    await mirror.hold(APP, "v1", IMAGE)


def test_an_empty_mirror_says_so(serve: Serve) -> None:
    ran = Shell().run("images", "--url", serve(make_mirror()).url)
    assert (ran.code, ran.out) == (
        0,
        "nothing is stored yet: pull something through the mirror\n",
    )


def test_everything_is_listed(running: Running) -> None:
    ran = Shell().run("images", "--url", running.url)
    assert (ran.code, ran.err) == (0, "")
    assert [line.split()[0] for line in ran.lines] == [
        "Image",
        "docker.io/library/nginx:1.27",
        "docker.io/library/nginx:latest",
        f"{APP}:v1",
    ]
    assert ran.lines[1].endswith(" no        2 hours ago")
    assert ran.lines[2].endswith(" yes       2 hours ago")


def test_a_name_shows_details(running: Running) -> None:
    ran = Shell().run("images", "nginx", "--url", running.url)
    assert [line.split()[0] for line in ran.lines] == ["Tag", "1.27", "latest"]
    assert ran.lines[1].split()[1] == ARM.digest.removeprefix("sha256:")[:12]
    assert ran.lines[2].endswith("linux/amd64 linux/arm64")


def test_a_tag_shows_one(running: Running) -> None:
    ran = Shell().run("images", "docker.io/library/nginx:latest", "--url", running.url)
    assert [line.split()[0] for line in ran.lines] == ["Tag", "latest"]


@pytest.mark.parametrize("name", ["redis", "nginx:2", "ghcr.io/a/b"])
def test_what_is_not_stored_is_an_answer(running: Running, name: str) -> None:
    for flags in ((), ("--json",)):
        ran = Shell().run("images", name, *flags, "--url", running.url)
        assert (ran.code, ran.out) == (1, "")
        assert ran.err.startswith(f"Error: {running.url} says: ")
        assert ran.err.endswith("stored\n")


@pytest.mark.parametrize("name", ["NGINX", "nginx:-", "nginx@sha256:1", "../stats", ""])
def test_what_is_no_name_is_a_mistake(running: Running, name: str) -> None:
    ran = Shell().run("images", name, "--url", running.url)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("Error: ")


def test_json_holds_all_pages(serve: Serve) -> None:
    mirror = make_mirror()
    running = serve(mirror)

    async def fill() -> None:
        for number in range(1001):
            await mirror.hold(NGINX, f"v{number:04}", IMAGE, whole=False)

    running.do(fill())
    document = json.loads(Shell().run("images", "nginx", "--json", "--url", running.url).out)
    assert [image["tag"] for image in document["images"]] == [f"v{n:04}" for n in range(1001)]
    assert document["next"] is None
    assert document["images"][0]["last_used_at"] == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize("command", [("images",), ("images", "nginx"), ("images", str(APP))])
def test_a_terminal_of_eighty_columns_cuts_nothing_off(
    running: Running, command: tuple[str, ...]
) -> None:
    ran = TERMINAL.run(*command, "--url", running.url)
    lines = [COLOUR.sub("", line) for line in ran.lines]
    assert all(len(line) <= 80 for line in lines), lines
    assert "…" not in ran.out
    if command == ("images",):
        joined = "".join(line.split()[0] for line in lines if line)
        assert f"{APP}:v1" in joined


def test_a_pipe_gets_each_image_on_one_line(running: Running) -> None:
    ran = Shell({"COLUMNS": "20"}).run("images", "--url", running.url)
    assert len(ran.lines) == 4
    assert "\x1b" not in ran.out
    assert all(line == line.rstrip() for line in ran.lines)


HOSTILE = "\x1b[2J[red]x[/red]\r\n\u202e\x9b1m[/]:boom:"


def hostile_page(following: str | None = None) -> Mapping[str, object]:
    image = {
        "repository": HOSTILE,
        "upstream": None,
        "tag": HOSTILE,
        "digest": "sha256:00",
        "media_type": HOSTILE,
        "bytes": 1,
        "shared_bytes": 0,
        "complete": True,
        "platforms": [HOSTILE],
        "confirmed_at": None,
        "last_used_at": None,
    }
    return {"images": [image], "next": following}


@pytest.mark.parametrize("shell", [Shell(), TERMINAL])
@pytest.mark.parametrize("arguments", [(), ("nginx",), ("--json",)])
def test_hostile_names_stay_names(
    impostor: Impostor, shell: Shell, arguments: tuple[str, ...]
) -> None:
    impostor.body = json.dumps(hostile_page()).encode()
    ran = shell.run("images", *arguments, "--url", impostor.url)
    assert ran.code == 0
    assert all(COLOUR.sub("", line).isprintable() for line in ran.lines)
    joined = "".join(ran.out.split())
    assert "[red]x[/red]" in joined
    assert ":boom:" in joined


@pytest.mark.parametrize("digest", ["\x1b[2J", "sha256:", "sha256:zz", "", "x" * 10_000])
def test_what_is_no_digest_is_no_answer_of_a_mirror(impostor: Impostor, digest: str) -> None:
    page = hostile_page()
    page["images"][0]["digest"] = digest  # type: ignore[index] # made above
    impostor.body = json.dumps(page).encode()
    assert Shell().run("images", "--url", impostor.url).code == 2


def test_a_server_that_goes_round_in_circles_is_left(impostor: Impostor) -> None:
    impostor.body = json.dumps(hostile_page("again")).encode()
    ran = Shell().run("images", "--url", impostor.url)
    assert ran.code == 2
    assert "circles" in ran.err
    assert len(impostor.asked) == 2
