"""Who asks while a blob comes in is answered from the download: the upstream is asked once."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from mirror.oci.digest import Digest
from mirror.oci.errors import BlobUnknown, Unavailable
from mirror.ports.metadata import BlobRecord
from mirror.registry.statistics import Result
from tests.registry.one_layer import DOWN, LAYER, SIZE, asking, filling, pulled
from tests.registry.reading import fetch
from tests.registry.scripted_upstream import ScriptedUpstream
from tests.registry.troubled_stores import TroubledFacts
from tests.registry.workbench import (
    DIRECT,
    HUB,
    MIRROR,
    NAME,
    NGINX,
    Ground,
    Workbench,
    fills_ended,
    set_up,
    settle,
)


@pytest.fixture
async def bench(
    ground: Ground, facts: TroubledFacts, hub_upstream: ScriptedUpstream
) -> AsyncIterator[Workbench]:
    bench = set_up(Ground(ground.clock, ground.store, facts), {HUB: hub_upstream})
    yield bench
    await bench.close()


async def test_between_its_file_and_its_row_a_blob_is_asked_for_no_more(
    bench: Workbench, facts: TroubledFacts, hub_upstream: ScriptedUpstream, layer: Digest
) -> None:
    recording, recorded = asyncio.Event(), asyncio.Event()

    async def hesitate() -> None:
        recording.set()
        await recorded.wait()

    facts.before_put_blob = hesitate
    try:
        assert await fetch(bench.blobs, MIRROR, layer) == LAYER
        async with asyncio.timeout(5):
            await recording.wait()
        assert bench.has(layer)
        assert (await bench.blobs.head(MIRROR, layer)).size == SIZE
        assert await fetch(bench.blobs, MIRROR, layer) == LAYER
        assert [asked.what for asked in hub_upstream.asked] == ["blob"]
    finally:
        recorded.set()
    await fills_ended()


@pytest.mark.parametrize("is_known", [True, False])
async def test_what_arrives_while_facts_are_looked_up_is_not_downloaded(
    bench: Workbench,
    facts: TroubledFacts,
    hub_upstream: ScriptedUpstream,
    layer: Digest,
    *,
    is_known: bool,
) -> None:
    """It was not there a moment ago."""

    async def arrive() -> None:
        facts.before_linked_size = TroubledFacts().before_linked_size
        await bench.store.put(layer, LAYER)
        if is_known:
            await bench.facts.put_blob(NGINX, BlobRecord(layer, SIZE), bench.clock.now())

    facts.before_linked_size = arrive
    assert await fetch(bench.blobs, MIRROR, layer) == LAYER
    assert hub_upstream.count("blob") == 0


async def test_a_head_during_the_download_is_no_question_of_its_own(
    bench: Workbench, hub_upstream: ScriptedUpstream, layer: Digest
) -> None:
    first = await filling(hub_upstream, bench)
    answer = await bench.blobs.head(MIRROR, layer)
    assert (answer.size, answer.blob) == (SIZE, None)
    assert (answer.handling.result, answer.handling.stored) == (Result.MISS, True)
    (await hub_upstream.next_tap()).let_rest()
    assert await first == LAYER
    assert [asked.what for asked in hub_upstream.asked] == ["blob"]


async def test_a_head_hears_what_the_download_it_waited_for_came_to(
    bench: Workbench, hub_upstream: ScriptedUpstream, layer: Digest
) -> None:
    with hub_upstream.silent("blob"):
        first = await asking(bench, layer, DIRECT)
        head = asyncio.create_task(bench.blobs.head(DIRECT, layer))
        await settle()
        hub_upstream.trouble["blob"] = DOWN
    for task in (first, head):
        with pytest.raises(Unavailable, match="no answer"):
            await task
    assert hub_upstream.count("head") == 0


async def test_a_head_hears_of_a_download_that_there_is_nothing(
    bench: Workbench, hub_upstream: ScriptedUpstream, layer: Digest
) -> None:
    del hub_upstream.blobs[NAME, layer]
    with hub_upstream.silent("blob"):
        first = await asking(bench, layer)
        head = asyncio.create_task(bench.blobs.head(MIRROR, layer))
        await settle()
    for task in (first, head):
        with pytest.raises(BlobUnknown):
            await task
    assert hub_upstream.count("head") == 0


async def test_a_head_after_the_download_is_a_hit(bench: Workbench, layer: Digest) -> None:
    await pulled(bench)
    assert (await bench.blobs.head(MIRROR, layer)).handling.result is Result.HIT
