"""A range far ahead of the download is a request of its own, held to the same promise."""

import asyncio

import pytest

from mirror.oci.digest import digest_of
from mirror.ports.upstream import UpstreamInvalid, UpstreamUnreachable
from mirror.registry.follow import FAR_AHEAD, WITHHELD, FillFailed
from tests.registry.reading import Reading, begin
from tests.registry.scripted_download import Tap
from tests.registry.scripted_upstream import ScriptedUpstream
from tests.registry.workbench import (
    HUB,
    MIRROR,
    NAME,
    Workbench,
    fills_ended,
    memory_ground,
    set_up,
    settle,
)
from tests.simulated_hub import blob

SIZE = FAR_AHEAD + 300_000
LAYER = blob("layer", SIZE)
DIGEST = digest_of(LAYER)
START = FAR_AHEAD + 50_000
STOP = START + 100_000


@pytest.fixture(autouse=True)
def _layer(hub_upstream: ScriptedUpstream) -> None:
    hub_upstream.put_blob(NAME, DIGEST, LAYER)
    hub_upstream.by_hand.add(DIGEST)


async def leap(bench: Workbench, upstream: ScriptedUpstream) -> tuple[Tap, Reading, Tap]:
    """The download itself, and a reader far ahead with its own."""
    client = asyncio.create_task(begin(bench.blobs, MIRROR, DIGEST, (START, STOP)))
    fill = await upstream.next_tap()
    reading = await client
    own = await upstream.next_tap()
    assert (own.asked.start, own.asked.stop) == (START, STOP)
    return fill, reading, own


async def test_it_comes_before_the_download_does(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    fill, reading, own = await leap(bench, hub_upstream)
    own.let(50_000)
    await reading.until(50_000)
    assert bytes(reading.received) == LAYER[START : START + 50_000]
    own.let_rest()
    await reading.until(STOP - START - WITHHELD)
    await settle()
    assert len(reading.received) == STOP - START - WITHHELD
    fill.let(STOP)
    await settle()
    assert len(reading.received) == STOP - START - WITHHELD, "not verified yet"
    fill.let_rest()
    assert await reading.complete() == LAYER[START:STOP]
    await fills_ended()
    assert bench.has(DIGEST)
    assert hub_upstream.count("blob") == 2


@pytest.mark.parametrize("wrong_at", [0, 50_000, STOP - START - 1])
async def test_one_that_differs_is_never_complete(
    bench: Workbench, hub_upstream: ScriptedUpstream, wrong_at: int
) -> None:
    fill, reading, own = await leap(bench, hub_upstream)
    wrong = bytearray(LAYER[START:STOP])
    wrong[wrong_at] ^= 1
    own.send(bytes(wrong))
    own.end()
    fill.let_rest()
    error = await reading.broken()
    assert isinstance(error, FillFailed)
    assert isinstance(error.error, UpstreamInvalid)
    await fills_ended()
    assert bench.has(DIGEST), "the download was right"


async def test_when_the_download_is_wrong_it_is_never_complete(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    fill, reading, own = await leap(bench, hub_upstream)
    own.let_rest()
    fill.send(b"x" * SIZE)
    fill.end()
    error = await reading.broken()
    assert isinstance(error, FillFailed)
    assert isinstance(error.error, UpstreamInvalid)


async def test_when_the_download_fails_it_is_never_complete(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    fill, reading, own = await leap(bench, hub_upstream)
    own.let_rest()
    hub_upstream.trouble["blob"] = UpstreamUnreachable("no answer")
    fill.fail(UpstreamUnreachable("broke"))
    error = await reading.broken()
    assert isinstance(error, FillFailed)
    assert isinstance(error.error, UpstreamUnreachable)


async def test_its_own_request_breaks_off_and_goes_on(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    fill, reading, own = await leap(bench, hub_upstream)
    own.let(70_000)
    own.fail(UpstreamUnreachable("broke"))
    own = await hub_upstream.next_tap()
    assert (own.asked.start, own.asked.stop) == (START + 70_000, STOP)
    own.let_rest()
    fill.let_rest()
    assert await reading.complete() == LAYER[START:STOP]


async def test_who_leaves_ends_only_its_own_request(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    fill, reading, own = await leap(bench, hub_upstream)
    own.let(50_000)
    await reading.until(50_000)
    await reading.leave()
    assert (own.is_open, fill.is_open) == (False, True)
    fill.let_rest()
    await fills_ended()
    assert bench.has(DIGEST)


async def test_not_so_far_ahead_it_waits(bench: Workbench, hub_upstream: ScriptedUpstream) -> None:
    client = asyncio.create_task(begin(bench.blobs, MIRROR, DIGEST, (FAR_AHEAD, STOP)))
    fill = await hub_upstream.next_tap()
    reading = await client
    fill.let(FAR_AHEAD + 50_000)
    await reading.until(50_000)
    fill.let_rest()
    assert await reading.complete() == LAYER[FAR_AHEAD:STOP]
    assert hub_upstream.count("blob") == 1


async def test_when_the_store_is_full_it_breaks_off_with_the_reason(
    hub_upstream: ScriptedUpstream,
) -> None:
    ground = memory_ground(capacity=SIZE)
    bench = set_up(ground, {HUB: hub_upstream})
    fill, reading, own = await leap(bench, hub_upstream)
    own.let_rest()
    await reading.until(STOP - START - WITHHELD)
    await ground.store.put(digest_of(b"something else"), b"something else")
    fill.let_rest()
    error = await reading.broken()
    assert isinstance(error, FillFailed)
    assert "no room" in str(error.error)
    # The next try knows, and goes the long way.
    hub_upstream.by_hand.clear()
    again = await begin(bench.blobs, MIRROR, DIGEST, (START, STOP))
    assert await again.complete() == LAYER[START:STOP]
    await bench.close()
