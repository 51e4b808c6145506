"""``GET /api/v1/stats``: the figures that other people's scripts depend on."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from mirror.ports.metadata import ImageSummary, MetadataError, Totals
from mirror.ports.repository import Repository
from mirror.ports.upstream import Quota, UpstreamStatus
from mirror.registry.statistics import Result
from tests.api.admin_client import AdminClient
from tests.api.conftest import Connect
from tests.api.services import MemoryMirror, Wishes, make_mirror, repository
from tests.simulated_hub import blob, make_image
from tests.world import START

NGINX = repository("docker.io/library/nginx")
IMAGE = make_image(layers=[blob("layer", 5000)])
NOTHING_STORED = {
    "blobs": 0,
    "bytes": 0,
    "hosted_bytes": 0,
    "manifests": 0,
    "repositories": 0,
    "max_bytes": 1 << 30,
    "low_bytes": 900 << 20,
    "free_bytes": 1 << 30,
    "total_bytes": 1 << 30,
    "min_free_bytes": 1 << 20,
}


async def test_a_new_mirror_has_every_figure_and_none_is_made_up(client: AdminClient) -> None:
    stats = (await client.get("/api/v1/stats")).json
    assert stats["requests"] == {
        "hit": 0,
        "miss": 0,
        "stale": 0,
        "revalidated": 0,
        "hosted": 0,
        "error": 0,
    }
    assert stats["bytes"] == {"served": 0, "from_upstream": 0, "saved": 0}
    assert stats["hit_ratio"] == 0.0
    assert stats["storage"] == NOTHING_STORED
    assert stats["upstreams"] == {
        name: {
            "state": "ok",
            "reason": None,
            "retry_at": None,
            "requests": 0,
            "errors": 0,
            "bytes": 0,
            "tokens": 0,
            "quota": None,
        }
        for name in ("docker.io", "ghcr.io")
    }
    assert stats["evictions"] == {"count": 0, "bytes": 0}
    assert (stats["quarantined"], stats["fills"], stats["offline"]) == (0, 0, False)
    assert isinstance(stats["version"], str)


async def test_pulls_are_counted_by_what_the_cache_did(
    mirror: MemoryMirror, client: AdminClient
) -> None:
    mirror.upstreams["docker.io"].push("library/nginx", "latest", IMAGE)
    for _ in range(4):
        assert (await client.get("/v2/library/nginx/manifests/latest")).status == 200
    mirror.clock.advance(timedelta(minutes=6))
    assert (await client.get("/v2/library/nginx/manifests/latest")).status == 200
    assert (await client.get("/v2/library/nginx/manifests/nothing")).status == 404
    stats = (await client.get("/api/v1/stats")).json
    assert stats["requests"] == {
        "hit": 3,
        "miss": 1,
        "stale": 0,
        "revalidated": 1,
        "hosted": 0,
        "error": 1,
    }
    assert stats["bytes"] == {
        "served": 5 * IMAGE.size,
        "from_upstream": IMAGE.size,
        "saved": 4 * IMAGE.size,
    }
    assert stats["hit_ratio"] == 4 / 5


async def test_asking_for_figures_does_not_change_them(client: AdminClient) -> None:
    first = (await client.get("/api/v1/stats")).json
    await client.get("/api/v1/nothing")
    await client.get("/metrics")
    assert (await client.get("/api/v1/stats")).json == first


async def test_what_is_stored_is_added_up(mirror: MemoryMirror, client: AdminClient) -> None:
    await mirror.hold(NGINX, "latest", IMAGE)
    await mirror.hold(repository("ghcr.io/library/nginx"), "latest", IMAGE)
    storage = (await client.get("/api/v1/stats")).json["storage"]
    stored = IMAGE.size + sum(map(len, IMAGE.blobs.values()))
    assert (storage["blobs"], storage["bytes"]) == (3, stored)
    assert (storage["manifests"], storage["repositories"]) == (1, 2)
    assert storage["free_bytes"] == (1 << 30) - stored


async def test_counters_come_from_earlier_runs_too(
    mirror: MemoryMirror, client: AdminClient
) -> None:
    await mirror.metadata.add_counters(
        {
            "requests|docker.io|blob|hit": 3,
            "requests|ghcr.io|blob|hosted": 2,
            "requests||other|error": 1,
            "evicted||other|": 5,
            "evicted_bytes||other|": 5000,
            "quarantined|docker.io|other|": 1,
            "quarantined||other|": 1,
        }
    )
    await mirror.services.housekeeping.start()
    mirror.services.statistics.answered("docker.io", "blob", Result.HIT)
    stats = (await client.get("/api/v1/stats")).json
    assert (stats["requests"]["hit"], stats["requests"]["hosted"]) == (4, 2)
    assert stats["requests"]["error"] == 1
    assert stats["evictions"] == {"count": 5, "bytes": 5000}
    assert stats["quarantined"] == 2


async def test_an_upstream_in_trouble_says_why_and_until_when(
    mirror: MemoryMirror, client: AdminClient
) -> None:
    mirror.upstreams["docker.io"].status_now = UpstreamStatus(
        state="throttled",
        reason="docker.io is out of quota",
        retry_at=START + timedelta(minutes=1),
        requests=7,
        errors=2,
        bytes=12345,
        tokens=1,
        quota=Quota(100, 0, 21600, "192.0.2.7", START),
    )
    upstreams = (await client.get("/api/v1/stats")).json["upstreams"]
    assert upstreams["docker.io"] == {
        "state": "throttled",
        "reason": "docker.io is out of quota",
        "retry_at": "2026-01-01T00:01:00Z",
        "requests": 7,
        "errors": 2,
        "bytes": 12345,
        "tokens": 1,
        "quota": {
            "limit": 100,
            "remaining": 0,
            "window_seconds": 21600,
            "source": "192.0.2.7",
            "observed_at": "2026-01-01T00:00:00Z",
        },
    }
    assert upstreams["ghcr.io"]["quota"] is None


async def test_uptime_is_time_that_passed_not_what_the_clock_on_the_wall_says(
    mirror: MemoryMirror, client: AdminClient
) -> None:
    mirror.clock.advance(timedelta(seconds=90))
    mirror.clock.jump(timedelta(days=-1))
    assert (await client.get("/api/v1/stats")).json["uptime_seconds"] == 90


async def test_an_offline_mirror_says_so(connect: Connect) -> None:
    client = await connect(make_mirror(Wishes(offline=True)))
    assert (await client.get("/api/v1/stats")).json["offline"] is True


async def test_facts_that_cannot_be_read_are_an_answer_too(
    mirror: MemoryMirror, connect: Connect
) -> None:
    mirror.services = replace(mirror.services, inventory=Unreadable())
    client = await connect(mirror)
    reply = await client.get("/api/v1/stats")
    assert (reply.status, reply.headers["Retry-After"]) == (503, "10")
    assert reply.problem == "UNAVAILABLE: the mirror cannot read its data"
    metrics = await client.get("/metrics")
    assert metrics.status == 200
    assert "mirror_upstream_up" in metrics.text
    assert "mirror_storage_bytes" not in metrics.text


class Unreadable:
    """An ``Inventory`` on a disk that fails."""

    async def totals(self) -> Totals:
        raise MetadataError("disk I/O error")

    async def list_images(
        self, repository: Repository | None, after: str | None, limit: int
    ) -> tuple[Sequence[ImageSummary], str | None]:
        raise MetadataError(f"disk I/O error after {limit} of {repository} from {after}")
