"""What the configuration says of webhooks is what they get."""

from contextlib import AsyncExitStack
from typing import Any

import pytest

from mirror.config import Config, load_config
from mirror.metadata.memory_events import MemoryEventQueue
from mirror.oci.digest import digest_of
from mirror.oci.reference import RepositoryName
from mirror.ports.metadata import BlobRecord
from mirror.ports.repository import Repository
from mirror.registry.happenings import Happening, blob_deleted, blob_mounted, blob_pushed
from mirror.registry.statistics import Statistics
from mirror.webhook_wiring import WebhookParts, open_webhooks
from tests.webhooks.sink import Sink, running_sink
from tests.world import SettableClock

APP = Repository(None, RepositoryName("app"))
LAYER = BlobRecord(digest_of(b"layer"), 5)


def config(sink: Sink, more: str = "", **environ: str) -> Config:
    webhook = f'[{{url: "{sink.url}", secret: s3cret{more}}}]'
    return load_config(None, {"MIRROR__WEBHOOKS": webhook, **environ})


async def told(config: Config, sink: Sink, *happenings: Happening) -> list[dict[str, Any]]:
    """What the sink hears, of which the last is certain to be wanted."""
    parts = WebhookParts(MemoryEventQueue(), SettableClock(), Statistics(), "one")
    async with AsyncExitStack() as stack:
        webhooks = await open_webhooks(config, parts, stack)
        assert webhooks.events is not None
        for happening in happenings:
            await webhooks.events.announce([happening], None)
        await sink.until_taken(1)
    return [event for received in sink.taken for event in received.events]


@pytest.mark.parametrize(
    ("listen", "public_url", "start"),
    [
        ("127.0.0.1:5000", "https://mirror.lan", "https://mirror.lan/v2/"),
        ("192.0.2.7:5000", "", "http://192.0.2.7:5000/v2/"),
        ("[::1]:5000", "", "http://[::1]:5000/v2/"),
        ("0.0.0.0:5000", "https://mirror.lan", "https://mirror.lan/v2/"),
        ("0.0.0.0:5000", "", None),
        ("[::]:5000", "", None),
        ("127.0.0.1:0", "", None),
    ],
)
async def test_links_lead_to_where_the_operator_says_that_clients_reach_us(
    listen: str, public_url: str, start: str | None
) -> None:
    async with running_sink() as sink:
        environ = {"MIRROR__LISTEN": listen, "MIRROR__PUBLIC_URL": public_url}
        [event] = await told(config(sink, **environ), sink, blob_pushed(APP, LAYER))
    expected = None if start is None else f"{start}app/blobs/{LAYER.digest}"
    assert event["target"].get("url") == expected
    assert event["source"]["addr"].endswith(f":{listen.rpartition(':')[2]}")
    assert event["source"]["instanceID"] == "one"


async def test_mounts_are_pushes_and_headers_are_sent() -> None:
    async with running_sink() as sink:
        more = ", events: [push], headers: {Authorization: Bearer x}"
        events = await told(
            config(sink, more), sink, blob_deleted(APP, LAYER.digest), blob_mounted(APP, LAYER, APP)
        )
    assert [event["action"] for event in events] == ["mount"]
    assert sink.taken[0].headers["authorization"] == "Bearer x"


async def test_without_webhooks_nothing_runs() -> None:
    queue = MemoryEventQueue()
    parts = WebhookParts(queue, SettableClock(), Statistics(), "one")
    async with AsyncExitStack() as stack:
        webhooks = await open_webhooks(load_config(None, {}), parts, stack)
        assert webhooks.events is None
        assert webhooks.statuses() == {}
    assert await queue.standings() == {}
