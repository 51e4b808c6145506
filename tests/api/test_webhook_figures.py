"""How it goes with webhooks, in ``/api/v1/stats`` and ``/metrics``."""

from dataclasses import replace
from datetime import timedelta

import pytest

from mirror.registry.deliveries import EndpointStatus
from tests.api.conftest import Connect
from tests.api.services import MemoryMirror, make_mirror
from tests.api.test_metrics import scrape, value
from tests.world import START

WELL = EndpointStatus(queued=0, failures=0, reason=None, retry_at=None)
ILL = EndpointStatus(7, 3, "it answered 503", START + timedelta(seconds=4))


@pytest.fixture
def mirror(mirror: MemoryMirror) -> MemoryMirror:
    webhooks = {"builds": WELL, "audit": ILL}
    mirror.services = replace(mirror.services, webhooks=lambda: webhooks)
    for name, count in (("builds", 5), ("audit", 2)):
        mirror.services.statistics.counted("webhook_delivered", name, count)
    mirror.services.statistics.counted("webhook_failed", "audit", 3)
    mirror.services.statistics.counted("webhook_dropped", "audit", 4)
    return mirror


async def test_without_webhooks_there_is_nothing_to_say(connect: Connect) -> None:
    client = await connect(make_mirror())
    assert (await client.get("/api/v1/stats")).json["webhooks"] == {}
    assert not [name for name, _ in await scrape(client) if "webhook" in name]


async def test_stats_tell_how_it_goes_with_each(mirror: MemoryMirror, connect: Connect) -> None:
    client = await connect(mirror)
    assert (await client.get("/api/v1/stats")).json["webhooks"] == {
        "builds": {
            "queued": 0,
            "failures": 0,
            "reason": None,
            "retry_at": None,
            "delivered": 5,
            "failed": 0,
            "dropped": 0,
        },
        "audit": {
            "queued": 7,
            "failures": 3,
            "reason": "it answered 503",
            "retry_at": "2026-01-01T00:00:04Z",
            "delivered": 2,
            "failed": 3,
            "dropped": 4,
        },
    }


async def test_metrics_tell_how_it_goes_with_each(mirror: MemoryMirror, connect: Connect) -> None:
    series = await scrape(await connect(mirror))
    found = {
        name: [
            value(series, f"mirror_webhook_{name}", webhook=each) for each in ("builds", "audit")
        ]
        for name in ("up", "queue", "delivered_total", "failed_total", "dropped_total")
    }
    assert found == {
        "up": [1, 0],
        "queue": [0, 7],
        "delivered_total": [5, 2],
        "failed_total": [0, 3],
        "dropped_total": [0, 4],
    }
