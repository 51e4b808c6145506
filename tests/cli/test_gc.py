"""``mirror gc``: what would be collected and why, and what was."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from mirror.oci.digest import digest_of
from tests.api.services import MemoryMirror, hosted, make_mirror
from tests.api.test_garbage import push_blob
from tests.cli.conftest import Impostor, Running, Serve, Shell
from tests.simulated_hub import blob

OURS = hosted("local/app")
DEAD = blob("dead", 40_960)
SHORT = digest_of(DEAD).encoded[:12]


@pytest.fixture
def running(serve: Serve) -> Running:
    """A dead blob, three days old, and one that was pushed just now."""
    mirror = make_mirror()
    mirror.clock.advance(datetime.now(UTC) - timedelta(days=3, hours=1) - mirror.clock.now())
    running = serve(mirror)
    running.do(_fill(mirror))
    return running


async def _fill(mirror: MemoryMirror) -> None:
    await push_blob(mirror, OURS, DEAD)
    mirror.clock.advance(timedelta(days=3))
    await push_blob(mirror, OURS, b"young")
    await push_blob(mirror, OURS, b"another")


def stored(running: Running) -> int:
    return running.do(running.mirror.services.inventory.totals()).bytes


def test_a_dry_run_shows_what_would_go_and_why(running: Running) -> None:
    before = stored(running)
    ran = Shell().run("gc", "--dry-run", "--url", running.url)
    assert (ran.code, ran.err) == (0, "")
    assert ran.lines[0] == "collecting 1 blob would free 40.0 KiB"
    assert ran.lines[2].split() == ["Would", "go", "Size", "Idle", "since", "Why"]
    assert ran.lines[3].split("  ") == [SHORT, "40.0 KiB", "3 days ago", "no manifest needs it"]
    assert ran.lines[5:7] == [
        "would go: 1 blob, 40.0 KiB: no manifest needs it",
        "kept: 2 blobs, 12 B: it was pushed, linked, asked for or used within the grace period",
    ]
    assert ran.lines[7].startswith("what is too young is protected for 2 days: the first of them")
    assert ran.lines[7].endswith(" may go in 1 day, the last in 1 day")
    assert stored(running) == before


def test_without_it_they_go(running: Running) -> None:
    ran = Shell().run("gc", "--url", running.url)
    assert ran.lines[0] == "collecting 1 blob freed 40.0 KiB in 0 s"
    assert ran.lines[2].startswith("Gone ")
    assert ran.lines[5] == "gone: 1 blob, 40.0 KiB: no manifest needs it"
    assert stored(running) == 12
    again = Shell().run("gc", "--url", running.url)
    assert (again.code, again.lines[0]) == (0, "nothing went")


def test_dead_links_are_told(running: Running) -> None:
    async def mount() -> None:
        mirror = running.mirror
        other = hosted("local/other")
        await mirror.metadata.mount_blob(other, digest_of(b"young"), mirror.clock.now())
        await mirror.metadata.link_blob(hosted("local/third"), digest_of(b"young"))

    running.do(mount())
    assert "1 dead link of repositories gone" in Shell().run("gc", "--url", running.url).lines


def test_json_is_what_the_server_said(running: Running) -> None:
    report = json.loads(Shell().run("gc", "--dry-run", "--json", "--url", running.url).out)
    assert (report["dry_run"], report["count"], report["freed_bytes"]) == (True, 1, 40_960)
    assert report["blobs"][0]["digest"] == str(digest_of(DEAD))


def test_the_figures_tell_of_it(running: Running) -> None:
    Shell().run("gc", "--url", running.url)
    lines = Shell().run("stats", "--url", running.url).lines
    (collected,) = [line for line in lines if line.startswith("Collected ")]
    assert collected.split("  ")[-1].strip() == "1 dead blob, 40.0 KiB"
    (last,) = [line for line in lines if line.startswith("Last gc ")]
    assert last.endswith(" ago, 1 blob, 40.0 KiB")


def test_what_a_server_says_cannot_harm_the_terminal(impostor: Impostor) -> None:
    impostor.body = json.dumps(
        {
            "dry_run": False,
            "began_at": "2026-01-01T00:00:00Z",
            "seconds": 61.0,
            "grace_seconds": 60,
            "freed_bytes": 7,
            "count": 1500,
            "links": 2,
            "reasons": [{"reason": "[red]\x1b[2J", "count": 1502, "bytes": 2048}],
            "blobs": [
                {
                    "digest": str(digest_of(DEAD)),
                    "bytes": 10,
                    "reason": "\x1b[2J",
                    "idle_since": "2026-01-01T00:00:00Z",
                }
            ],
            "kept": [{"reason": "\x1b[2J", "count": 1, "bytes": 1}],
            "protected": None,
            "undeleted": {"count": 2, "bytes": 1024},
        }
    ).encode()
    ran = Shell().run("gc", "--url", impostor.url)
    assert impostor.asked == ["POST /api/v1/gc?dry_run=false HTTP/1.1"]
    assert ran.lines[0] == "collecting 1,500 blobs freed 7 B in 1 min"
    assert ran.lines[4] == "and 1,501 more"
    assert "still on disk: 2 blobs, 1.0 KiB: a later sweep removes what could not" in ran.out
    assert "2 dead links of repositories gone" in ran.lines
    assert "\x1b" not in ran.out
