"""``POST /api/v1/gc``: what would be collected and why, and what was, while all is served."""

from datetime import timedelta

import pytest

from mirror.oci.digest import Digest, digest_of
from mirror.ports.metadata import BlobRecord
from mirror.ports.repository import Repository
from tests.api.admin_client import AdminClient
from tests.api.conftest import Connect
from tests.api.services import ELSEWHERE, GRACE, MemoryMirror, Wishes, hosted, make_mirror
from tests.simulated_hub import blob, make_image

IMAGE = make_image(layers=[blob("layer", 1000)])
OURS = hosted("local/app")
DEAD = blob("dead", 40_000)
YOUNG = blob("young", 500)


async def push_blob(mirror: MemoryMirror, repository: Repository, content: bytes) -> Digest:
    digest = digest_of(content)
    await mirror.store.put(digest, content)
    record = BlobRecord(digest, len(content))
    await mirror.metadata.put_blob(repository, record, mirror.clock.now())
    return digest


@pytest.fixture
async def mirror() -> MemoryMirror:
    """An image, a dead blob, one that was deleted, and one that was pushed just now."""
    mirror = make_mirror()
    await mirror.hold(OURS, "v1", IMAGE)
    await push_blob(mirror, OURS, DEAD)
    deleted = await push_blob(mirror, OURS, b"deleted")
    await mirror.metadata.unlink_blob(OURS, deleted)
    mirror.clock.advance(GRACE)
    await push_blob(mirror, OURS, YOUNG)
    return mirror


async def files(mirror: MemoryMirror) -> set[Digest]:
    return {digest for shard in range(256) for digest, *_ in await mirror.store.list_blobs(shard)}


async def test_a_dry_run_says_what_would_go_and_why_and_leaves_it(
    mirror: MemoryMirror, client: AdminClient
) -> None:
    before = await files(mirror)
    report = (await client.post("/api/v1/gc", b'{"dry_run": true}')).json
    blobs = sorted(report.pop("blobs"), key=lambda one: -one["bytes"])
    assert report == {
        "dry_run": True,
        "began_at": "2026-01-03T00:00:00Z",
        "seconds": 0.0,
        "grace_seconds": 48 * 3600,
        "freed_bytes": 40_007,
        "count": 2,
        "links": None,
        "reasons": [
            {"reason": "no manifest needs it", "count": 1, "bytes": 40_000},
            {"reason": "it was deleted from every repository", "count": 1, "bytes": 7},
        ],
        "kept": [
            {
                "reason": "it was pushed, linked, asked for or used within the grace period",
                "count": 1,
                "bytes": 500,
            }
        ],
        "protected": {"first": "2026-01-05T00:00:00Z", "last": "2026-01-05T00:00:00Z"},
        "undeleted": {"count": 0, "bytes": 0},
    }
    assert blobs[0] == {
        "digest": str(digest_of(DEAD)),
        "bytes": 40_000,
        "reason": "no manifest needs it",
        "idle_since": "2026-01-01T00:00:00Z",
    }
    assert await files(mirror) == before
    assert (await client.get("/api/v1/stats")).json["gc"]["runs"] == 0


async def test_what_a_dry_run_names_is_what_goes(mirror: MemoryMirror, client: AdminClient) -> None:
    planned = (await client.post("/api/v1/gc?dry_run=true")).json
    report = (await client.post("/api/v1/gc")).json
    assert report == planned | {"dry_run": False, "links": 0}
    assert digest_of(DEAD) not in await files(mirror)
    assert digest_of(YOUNG) in await files(mirror)
    assert (await client.get("/api/v1/images/local/app:v1")).json["images"][0]["complete"]
    assert (await client.post("/api/v1/gc")).json["count"] == 0


async def test_the_figures_tell_of_it(mirror: MemoryMirror, client: AdminClient) -> None:
    before = (await client.get("/api/v1/stats")).json["gc"]
    assert before == {
        "runs": 0,
        "count": 0,
        "bytes": 0,
        "links": 0,
        "schedule": {
            "every_seconds": None,
            "grace_seconds": 48 * 3600,
            "running": False,
            "next_run_at": None,
            "last_run": None,
        },
    }
    await client.post("/api/v1/gc")
    mirror.clock.advance(timedelta(seconds=1))
    after = (await client.get("/api/v1/stats")).json["gc"]
    assert (after["runs"], after["count"], after["bytes"]) == (1, 2, 40_007)
    assert after["schedule"]["last_run"] == {
        "began_at": "2026-01-03T00:00:00Z",
        "seconds": 0.0,
        "count": 2,
        "bytes": 40_007,
        "failure": None,
    }


async def test_so_do_the_metrics(client: AdminClient) -> None:
    def gc_lines(text: str) -> dict[str, float]:
        lines = [line.split() for line in text.splitlines() if line.startswith("mirror_gc_")]
        return {name: float(value) for name, value in lines if not name.endswith("_created")}

    before = gc_lines((await client.get("/metrics")).text)
    assert "mirror_gc_last_run_timestamp_seconds" not in before
    assert before["mirror_gc_runs_total"] == 0
    await client.post("/api/v1/gc")
    assert gc_lines((await client.get("/metrics")).text) == {
        "mirror_gc_runs_total": 1,
        "mirror_gc_failures_total": 0,
        "mirror_gc_blobs_total": 2,
        "mirror_gc_bytes_total": 40_007,
        "mirror_gc_links_total": 0,
        "mirror_gc_running": 0,
        "mirror_gc_last_run_timestamp_seconds": 1767398400,
        "mirror_gc_last_run_duration_seconds": 0,
        "mirror_gc_last_run_bytes": 40_007,
    }


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("", b"{"),
        ("", b"null"),
        ("", b'{"dry_run": 1}'),
        ("", b'{"dryrun": true}'),
        ("", b" " * 5000),
        ("?dry_run=1", None),
        ("?dryrun=true", None),
        ("?dry_run=true", b'{"dry_run": false}'),
    ],
)
async def test_a_malformed_wish_is_refused_and_nothing_goes(
    mirror: MemoryMirror, client: AdminClient, query: str, body: bytes | None
) -> None:
    before = await files(mirror)
    reply = await client.post(f"/api/v1/gc{query}", body)
    assert (reply.status, reply.json["errors"][0]["code"]) == (400, "UNSUPPORTED")
    assert await files(mirror) == before


async def test_it_is_for_administrators(connect: Connect) -> None:
    mirror = make_mirror(Wishes(trusted=ELSEWHERE))
    await push_blob(mirror, OURS, DEAD)
    mirror.clock.advance(GRACE)
    reply = await (await connect(mirror)).post("/api/v1/gc")
    assert reply.status == 403
    assert digest_of(DEAD) in await files(mirror)
