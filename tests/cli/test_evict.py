"""``mirror evict``: what would go and why, and what went."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mirror.registry.room import Limits
from tests.api.services import MemoryMirror, Wishes, make_mirror, repository
from tests.cli.conftest import Impostor, Running, Serve, Shell
from tests.registry.scripted_upstream import WELL
from tests.simulated_hub import blob, make_image

OLD = make_image(layers=[blob("old", 40_000)])
NEW = make_image(layers=[blob("new", 40_000)])
TIGHT = Limits(max_size=60_000, low_size=50_000, min_free=0)
NGINX = repository("docker.io/library/nginx")
APP = repository("ghcr.io/team/app")


@pytest.fixture
def running(serve: Serve) -> Running:
    """Two images where there is room for one."""
    mirror = make_mirror(Wishes(limits=TIGHT))
    mirror.clock.jump(datetime.now(UTC) - timedelta(days=3, hours=1) - mirror.clock.now())
    running = serve(mirror)
    running.do(_fill(mirror))
    return running


async def _fill(mirror: MemoryMirror) -> None:
    await mirror.hold(NGINX, "1.26", OLD)
    await mirror.hold(NGINX, "stable", OLD)
    mirror.clock.advance(timedelta(days=1))
    await mirror.hold(APP, "v1", NEW)
    mirror.clock.advance(timedelta(days=1))


def stored(running: Running) -> int:
    return running.do(running.mirror.services.inventory.totals()).bytes


def test_a_dry_run_shows_what_would_go_and_why(running: Running) -> None:
    before = stored(running)
    ran = Shell().run("evict", "--dry-run", "--url", running.url)
    assert (ran.code, ran.err) == (0, "")
    assert ran.lines[0].startswith("evicting 1 would free 40.0 KiB, ")
    assert ran.lines[0].endswith(": cache.max_size is exceeded")
    assert ran.lines[2].split() == ["Would", "go", "Frees", "Last", "used"]
    assert ran.lines[3].startswith("docker.io/library/nginx:1.26, stable ")
    assert ran.lines[3].endswith("3 days ago")
    assert stored(running) == before


def test_without_it_they_go(running: Running) -> None:
    ran = Shell().run("evict", "--url", running.url)
    assert ran.lines[0].startswith("evicting 1 freed 40.0 KiB, ")
    assert ran.lines[2].startswith("Gone ")
    assert stored(running) < 50_000
    again = Shell().run("evict", "--url", running.url)
    assert (again.code, again.out) == (0, "nothing went: nothing is above its limits\n")


def test_what_is_kept_is_shown_with_the_reason(running: Running) -> None:
    for upstream in running.mirror.upstreams.values():
        upstream.status_now = replace(WELL, state="failing", reason="down")
    ran = Shell().run("evict", "--dry-run", "--url", running.url)
    assert ran.lines == [
        "nothing would go: cache.max_size is exceeded",
        "kept 1: docker.io could not give it again now",
        "kept 1: ghcr.io could not give it again now",
    ]


def test_json_is_what_the_server_said(running: Running) -> None:
    report = json.loads(Shell().run("evict", "--dry-run", "--json", "--url", running.url).out)
    assert (report["dry_run"], report["count"]) == (True, 1)
    assert report["victims"][0]["tags"] == ["1.26", "stable"]


def test_what_has_no_name_is_known_by_its_digest(impostor: Impostor) -> None:
    victim = {"bytes": 10, "last_used_at": "2026-01-01T00:00:00Z", "digest": NEW.digest}
    impostor.body = json.dumps(
        {
            "dry_run": False,
            "reason": "[red]\x1b[2J",
            "needed_bytes": 1,
            "freed_bytes": 20,
            "count": 1500,
            "victims": [
                victim | {"repository": None, "tags": []},
                victim | {"repository": "ghcr.io/team/app", "tags": []},
            ],
            "kept": [{"reason": "\x1b[2J", "count": 1}],
        }
    ).encode()
    ran = Shell().run("evict", "--url", impostor.url)
    assert impostor.asked == ["POST /api/v1/evict?dry_run=false HTTP/1.1"]
    assert ran.lines[0].startswith("evicting 1,500 freed 20 B, 1 B are needed: [red]")
    short = NEW.digest.removeprefix("sha256:")[:12]
    assert ran.lines[3].startswith(f"blob {short} ")
    assert ran.lines[4].startswith(f"ghcr.io/team/app@{short} ")
    assert ran.lines[5] == "and 1,498 more"
    assert "\x1b" not in ran.out
