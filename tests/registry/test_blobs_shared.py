"""One download for several repositories, each of which must be permitted to have it."""

import asyncio

import pytest

from mirror.oci.digest import Digest
from mirror.oci.errors import BlobUnknown, Unavailable
from mirror.storage.memory import MemoryBlobStore
from tests.registry.full_facts import FullFacts
from tests.registry.one_layer import DOWN, IMAGE, LAYER, filling, hold_manifest
from tests.registry.reading import fetch
from tests.registry.scripted_upstream import ScriptedUpstream
from tests.registry.workbench import (
    GHCR,
    GHCR_APP,
    HUB,
    MIRROR,
    NAME,
    TO_GHCR,
    Ground,
    Workbench,
    fills_ended,
    set_up,
    settle,
)
from tests.world import SettableClock


async def test_a_download_is_shared_with_a_repository_that_has_the_blob_too(
    bench: Workbench,
    hub_upstream: ScriptedUpstream,
    ghcr_upstream: ScriptedUpstream,
    layer: Digest,
) -> None:
    ghcr_upstream.put_blob("team/app", layer, LAYER)
    first = await filling(hub_upstream, bench)
    second = asyncio.create_task(fetch(bench.blobs, TO_GHCR, layer))
    await ghcr_upstream.until_asked("head")
    (await hub_upstream.next_tap()).let_rest()
    assert await first == await second == LAYER
    assert ghcr_upstream.count("blob") == 0
    await fills_ended()
    ghcr_upstream.asked.clear()
    assert await fetch(bench.blobs, TO_GHCR, layer) == LAYER
    assert ghcr_upstream.asked == []
    assert (await bench.blobs.head(TO_GHCR, layer)).repository == GHCR_APP


async def test_a_download_is_not_shared_with_a_repository_that_lacks_the_blob(
    bench: Workbench,
    hub_upstream: ScriptedUpstream,
    ghcr_upstream: ScriptedUpstream,
    layer: Digest,
) -> None:
    first = await filling(hub_upstream, bench)
    with pytest.raises(BlobUnknown):
        await bench.blobs.get(TO_GHCR, layer)
    ghcr_upstream.trouble["head"] = DOWN
    with pytest.raises(Unavailable, match="no answer"):
        await bench.blobs.get(TO_GHCR, layer)
    (await hub_upstream.next_tap()).let_rest()
    assert await first == LAYER


async def test_a_shared_download_needs_no_question_when_a_manifest_names_the_blob(
    bench: Workbench,
    hub_upstream: ScriptedUpstream,
    ghcr_upstream: ScriptedUpstream,
    layer: Digest,
) -> None:
    await hold_manifest(bench, GHCR_APP, IMAGE)
    first = await filling(hub_upstream, bench)
    second = asyncio.create_task(fetch(bench.blobs, TO_GHCR, layer))
    await settle()
    (await hub_upstream.next_tap()).let_rest()
    assert await first == await second == LAYER
    assert ghcr_upstream.asked == []


@pytest.mark.parametrize("trouble", ["down", "absent", "corrupt"])
async def test_when_a_shared_download_fails_the_own_upstream_is_asked(
    bench: Workbench,
    hub_upstream: ScriptedUpstream,
    ghcr_upstream: ScriptedUpstream,
    layer: Digest,
    trouble: str,
) -> None:
    if trouble == "down":
        hub_upstream.trouble["blob"] = DOWN
    elif trouble == "absent":
        hub_upstream.blobs.clear()
    else:
        hub_upstream.put_blob(NAME, layer, b"")
    ghcr_upstream.put_blob("team/app", layer, LAYER)
    await hold_manifest(bench, GHCR_APP, IMAGE)
    with hub_upstream.silent("blob"):
        first = asyncio.create_task(bench.blobs.get(MIRROR, layer))
        await hub_upstream.until_asked("blob")
        second = asyncio.create_task(fetch(bench.blobs, TO_GHCR, layer))
        await settle()
        assert ghcr_upstream.asked == []
    with pytest.raises(BlobUnknown):
        await first
    assert await second == LAYER
    assert ghcr_upstream.count("blob") == 1


async def test_a_shared_download_that_ends_while_the_own_upstream_is_asked(
    bench: Workbench,
    hub_upstream: ScriptedUpstream,
    ghcr_upstream: ScriptedUpstream,
    layer: Digest,
) -> None:
    ghcr_upstream.put_blob("team/app", layer, LAYER)
    first = await filling(hub_upstream, bench)
    with ghcr_upstream.silent("head"):
        second = asyncio.create_task(fetch(bench.blobs, TO_GHCR, layer))
        await ghcr_upstream.until_asked("head")
        (await hub_upstream.next_tap()).let_rest()
        assert await first == LAYER
        await fills_ended()
    assert await second == LAYER
    assert ghcr_upstream.count("blob") == 0


async def test_facts_that_cannot_be_written_cost_the_facts(
    hub_upstream: ScriptedUpstream, ghcr_upstream: ScriptedUpstream, layer: Digest
) -> None:
    clock, facts = SettableClock(), FullFacts()
    ground = Ground(clock, MemoryBlobStore(clock), facts)
    bench = set_up(ground, {HUB: hub_upstream, GHCR: ghcr_upstream})
    facts.is_full = True
    ghcr_upstream.put_blob("team/app", layer, LAYER)
    first = await filling(hub_upstream, bench)
    second = asyncio.create_task(fetch(bench.blobs, TO_GHCR, layer))
    await ghcr_upstream.until_asked("head")
    (await hub_upstream.next_tap()).let_rest()
    assert await first == await second == LAYER
    await fills_ended()
    for route in (MIRROR, TO_GHCR):
        assert await fetch(bench.blobs, route, layer) == LAYER
    assert hub_upstream.count("blob") == 1
    assert await bench.facts.get_stored(layer) is None
    facts.is_full = False
    assert await fetch(bench.blobs, MIRROR, layer) == LAYER
    assert await bench.facts.get_stored(layer) is not None
    await bench.close()
