"""``mirror stats``: the figures at a glance, on a terminal, in a pipe and as JSON."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mirror.cli.sizes import format_size
from mirror.ports.upstream import Quota
from mirror.registry.deliveries import EndpointStatus
from mirror.registry.statistics import Result
from tests.api.services import MemoryMirror, Wishes, hosted, make_mirror, repository
from tests.cli.conftest import Impostor, Serve, Shell
from tests.registry.scripted_upstream import WELL
from tests.simulated_hub import blob, make_image

IMAGE = make_image(layers=[blob("layer", 5000)])
TERMINAL = Shell({"FORCE_COLOR": "1", "COLUMNS": "80", "TERM": "xterm-256color"})
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def mirror() -> MemoryMirror:
    mirror = make_mirror()
    statistics = mirror.services.statistics
    for _ in range(1234):
        statistics.answered("docker.io", "blob", Result.HIT)
    statistics.answered("docker.io", "blob", Result.MISS)
    statistics.served("docker.io", "blob", Result.HIT, 3 << 30)
    statistics.fetched("docker.io", "blob", 1 << 30)
    mirror.clock.advance(timedelta(days=3))
    return mirror


def test_the_figures_are_all_there(mirror: MemoryMirror, serve: Serve) -> None:
    running = serve(mirror)
    running.do(mirror.hold(repository("docker.io/library/nginx"), "latest", IMAGE))
    ran = Shell().run("stats", "--url", running.url)
    assert (ran.code, ran.err) == (0, "")
    assert ran.lines[0].endswith(f"at {running.url}, up for 3 days")
    assert "Answers    1,234 hit, 0 revalidated, 0 stale, 1 miss, 0 hosted, 0 error" in ran.lines
    assert "Hit ratio  99.9%" in ran.lines
    assert "Traffic    3.0 GiB served, 1.0 GiB fetched, 2.0 GiB saved" in ran.lines
    assert "           3 blobs, 1 manifest, 1 repository" in ran.lines
    assert "Evicted" not in ran.out
    assert "Damaged" not in ran.out


def test_what_is_hosted_is_told_apart(mirror: MemoryMirror, serve: Serve) -> None:
    running = serve(mirror)
    assert "Hosted" not in Shell().run("stats", "--url", running.url).out
    running.do(mirror.hold(hosted("ours"), "latest", IMAGE))
    ran = Shell().run("stats", "--url", running.url)
    assert "Stored     0 B of at most 1.0 GiB" in ran.lines
    kept = IMAGE.size + sum(map(len, IMAGE.blobs.values()))
    assert f"Hosted     {format_size(kept)} beside that, kept until deleted" in ran.lines


def test_what_is_rare_is_shown_when_it_happened(serve: Serve) -> None:
    mirror = make_mirror(Wishes(offline=True))
    mirror.services.statistics.counted("evicted", count=3)
    mirror.services.statistics.counted("evicted_bytes", count=2048)
    mirror.services.statistics.counted("quarantined")
    ran = Shell().run("stats", "--url", serve(mirror).url)
    assert "Evicted    3 manifests and blobs, 2.0 KiB" in ran.lines
    assert "Damaged    1 blob in quarantine" in ran.lines
    assert "Offline    no upstream is contacted" in ran.lines


def test_upstreams_are_a_table_and_their_troubles_follow(
    mirror: MemoryMirror, serve: Serve
) -> None:
    now = datetime.now(UTC)
    mirror.upstreams["docker.io"].status_now = replace(
        WELL,
        state="throttled",
        reason="docker.io is out of quota",
        retry_at=now + timedelta(minutes=5, seconds=30),
        requests=1500,
        quota=Quota(100, 7, 21600, None, now - timedelta(minutes=2)),
    )
    ran = Shell().run("stats", "--url", serve(mirror).url)
    at = next(number for number, line in enumerate(ran.lines) if line.startswith("Upstream"))
    rows = [" ".join(line.split()) for line in ran.lines[at:]]
    assert rows == [
        "Upstream State Requests Errors Received Pulls left",
        "docker.io throttled 1,500 0 0 B 7 of 100, 2 min ago",
        "ghcr.io ok 0 0 0 B unknown",
        "docker.io is out of quota (next attempt in 5 min)",
    ]


def test_a_pipe_gets_no_colour_and_no_padding(mirror: MemoryMirror, serve: Serve) -> None:
    ran = Shell().run("stats", "--url", serve(mirror).url)
    assert "\x1b" not in ran.out
    assert all(line == line.rstrip() for line in ran.lines)


def test_a_terminal_of_eighty_columns_is_wide_enough(mirror: MemoryMirror, serve: Serve) -> None:
    now = datetime.now(UTC)
    quota = Quota(100, 76, 21600, None, now - timedelta(minutes=12))
    mirror.upstreams["docker.io"].status_now = replace(
        WELL, requests=123_456, errors=1234, bytes=1 << 40, quota=quota
    )
    ran = TERMINAL.run("stats", "--url", serve(mirror).url)
    lines = [COLOUR.sub("", line) for line in ran.lines]
    assert all(len(line) <= 80 for line in lines), lines
    assert any("docker.io" in line and "76 of 100, 12 min ago" in line for line in lines)
    assert any("123,456" in line and "1,234" in line and "1.0 TiB" in line for line in lines)


def test_json_is_what_the_server_said(mirror: MemoryMirror, serve: Serve) -> None:
    ran = Shell().run("stats", "--json", "--url", serve(mirror).url)
    assert json.loads(ran.out)["requests"]["hit"] == 1234


def test_a_newer_mirror_may_say_more(
    mirror: MemoryMirror, serve: Serve, impostor: Impostor
) -> None:
    stats = json.loads(Shell().run("stats", "--json", "--url", serve(mirror).url).out)
    impostor.body = json.dumps(stats | {"weather": "fine"}).encode()
    assert Shell().run("stats", "--url", impostor.url).code == 0
    assert '"weather": "fine"' in Shell().run("stats", "--json", "--url", impostor.url).out


@pytest.mark.parametrize("shell", [Shell(), TERMINAL])
@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_what_upstreams_say_cannot_take_over_the_terminal(
    serve: Serve, shell: Shell, flags: tuple[str, ...]
) -> None:
    hostile = "\x1b[2J\x1b]0;owned\x07[red]x[/red]\r\u202e\x9b1m\n[/]"
    mirror = make_mirror(Wishes(upstreams=("docker.io", hostile)))
    mirror.upstreams[hostile].status_now = replace(WELL, state="failing", reason=hostile)
    ran = shell.run("stats", *flags, "--url", serve(mirror).url)
    assert ran.code == 0
    assert all(COLOUR.sub("", line).isprintable() for line in ran.lines)
    assert "[red]x[/red]" in ran.out
    assert "\x1b[31m" not in ran.out.replace("\x1b[31mfailing", "")


def test_webhooks_in_trouble_are_told_of(mirror: MemoryMirror, serve: Serve) -> None:
    statuses = {
        "builds": EndpointStatus(3, 0, None, None),
        "audit": EndpointStatus(1200, 2, "it answered 503", None),
        "other": EndpointStatus(1, 4, None, datetime.now(UTC) + timedelta(minutes=5)),
    }
    mirror.services = replace(mirror.services, webhooks=lambda: statuses)
    ran = Shell().run("stats", "--url", serve(mirror).url)
    lines = [line for line in ran.lines if line.startswith("webhook")]
    assert lines[0] == "webhook audit: it answered 503; 1,200 events wait"
    assert lines[1].startswith("webhook other: it does not take what it is sent; 1 event wait")
    assert "next attempt" in lines[1]
    assert len(lines) == 2
