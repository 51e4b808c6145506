"""What is stored while it is deleted: whichever comes first, no row is left without its file."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest

from mirror.metadata.memory import MemoryMetadata
from mirror.oci.digest import Digest
from mirror.oci.manifest import Manifest
from mirror.ports.metadata import BlobRecord
from mirror.registry.eviction import Eviction
from mirror.registry.housekeeping import UNRECORDED
from tests.registry.moving_tag import OLD, get
from tests.registry.one_layer import LAYER, SIZE, filling
from tests.registry.reading import fetch
from tests.registry.scripted_upstream import ScriptedUpstream
from tests.registry.shelf import EVERYTHING, HOSTED, MANIFEST_SIZE, SECOND, content, digest
from tests.registry.troubled_stores import TroubledStore
from tests.registry.workbench import (
    GHCR,
    HUB,
    MIRROR,
    NGINX,
    TO_REDIS,
    Ground,
    Workbench,
    eviction_ports,
    fills_ended,
    set_up,
    settle,
)
from tests.world import SettableClock


@dataclass(slots=True)
class Meanwhile:
    """What begins once a row is gone and its file is not, and goes as far as it can by then."""

    store: TroubledStore
    tasks: list["asyncio.Task[Any]"] = field(default_factory=list)

    def begin(self, work: Coroutine[Any, Any, Any]) -> None:
        async def go() -> None:
            if not self.tasks:
                self.tasks.append(asyncio.ensure_future(work))
                await settle()

        self.store.before_delete = self.store.before_quarantine = go

    async def ended(self) -> object:
        """What came of it."""
        (task,) = self.tasks
        async with asyncio.timeout(5):
            return await task


@pytest.fixture
def meanwhile(files: TroubledStore) -> Meanwhile:
    return Meanwhile(files)


@pytest.fixture
async def bench(
    clock: SettableClock,
    files: TroubledStore,
    hub_upstream: ScriptedUpstream,
    ghcr_upstream: ScriptedUpstream,
) -> AsyncIterator[Workbench]:
    ground = Ground(clock, files, MemoryMetadata())
    bench = set_up(ground, {HUB: hub_upstream, GHCR: ghcr_upstream})
    # A sweep believes records only that are not empty.
    bystander = digest("bystander")
    await files.put(bystander, content("bystander", MANIFEST_SIZE))
    await bench.facts.put_blob(HOSTED, BlobRecord(bystander, MANIFEST_SIZE), clock.now())
    yield bench
    await bench.close()


async def evict(bench: Workbench) -> None:
    bench.clock.advance(SECOND)
    await Eviction(eviction_ports(bench)).run(EVERYTHING, "the test", dry_run=False)


async def sweep(bench: Workbench) -> None:
    bench.clock.advance(2 * UNRECORDED)
    await bench.housekeeping.sweep()


async def is_sound(bench: Workbench, digest: Digest) -> bool:
    """Whether it is stored, of which file and row must say the same."""
    recorded = await bench.facts.get_stored(digest) is not None
    assert recorded == bench.has(digest)
    return recorded


async def test_a_blob_found_while_it_is_evicted_is_fetched_again(
    bench: Workbench, meanwhile: Meanwhile, hub_upstream: ScriptedUpstream, layer: Digest
) -> None:
    await fetch(bench.blobs, MIRROR, layer)
    await fills_ended()
    meanwhile.begin(fetch(bench.blobs, MIRROR, layer))
    await evict(bench)
    assert await meanwhile.ended() == LAYER
    await fills_ended()
    assert await is_sound(bench, layer)
    assert hub_upstream.count("blob") == 2


async def test_a_blob_found_while_it_is_swept_is_fetched_again(
    bench: Workbench, meanwhile: Meanwhile, layer: Digest
) -> None:
    await bench.store.put(layer, LAYER)
    meanwhile.begin(fetch(bench.blobs, MIRROR, layer))
    await sweep(bench)
    assert await meanwhile.ended() == LAYER
    await fills_ended()
    assert await is_sound(bench, layer)


async def test_a_blob_that_is_linked_while_it_is_evicted_is_fetched_again(
    bench: Workbench, meanwhile: Meanwhile, hub_upstream: ScriptedUpstream, layer: Digest
) -> None:
    """Another repository asks for it, which has to ask its upstream before."""
    hub_upstream.put_blob("library/redis", layer, LAYER)
    await fetch(bench.blobs, MIRROR, layer)
    await fills_ended()
    with hub_upstream.silent("head"):
        asking = asyncio.create_task(fetch(bench.blobs, TO_REDIS, layer))
        await hub_upstream.until_asked("head")
        await evict(bench)
    assert await asking == LAYER
    await fills_ended()
    assert await is_sound(bench, layer)
    assert meanwhile.tasks == []


async def test_a_download_that_ends_while_the_file_is_swept_keeps_its_file(
    bench: Workbench, meanwhile: Meanwhile, hub_upstream: ScriptedUpstream, layer: Digest
) -> None:
    pull = await filling(hub_upstream, bench)
    tap = await hub_upstream.next_tap()
    # As a run that was killed before it could record it left it.
    await bench.store.put(layer, LAYER)

    async def end() -> None:
        tap.let_rest()
        await pull

    meanwhile.begin(end())
    await sweep(bench)
    await meanwhile.ended()
    await fills_ended()
    assert await is_sound(bench, layer)


async def test_a_download_that_is_recorded_just_now_is_not_swept(
    bench: Workbench, meanwhile: Meanwhile, hub_upstream: ScriptedUpstream, layer: Digest
) -> None:
    """Its file is as old as a download of the same bytes that was never recorded."""
    await bench.store.put(layer, LAYER)
    bench.clock.advance(2 * UNRECORDED)
    async with bench.custody.arriving(layer):
        assert await bench.housekeeping.sweep() == 0
        await bench.facts.put_blob(NGINX, BlobRecord(layer, SIZE), bench.clock.now())
    assert await is_sound(bench, layer)
    assert hub_upstream.asked == []
    assert meanwhile.tasks == []


async def test_a_manifest_that_comes_again_while_it_is_evicted_keeps_its_file(
    bench: Workbench, meanwhile: Meanwhile, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    await get(bench)
    hub_upstream.put("library/redis", "latest", old)
    meanwhile.begin(get(bench, TO_REDIS))
    await evict(bench)
    await meanwhile.ended()
    assert await is_sound(bench, old.digest)
    assert await bench.facts.get_manifest(TO_REDIS.repository, old.digest) is not None


async def test_a_blob_that_two_would_delete_comes_again_after_both(
    bench: Workbench, meanwhile: Meanwhile, layer: Digest
) -> None:
    await fetch(bench.blobs, MIRROR, layer)
    await fills_ended()

    async def sweep_and_pull() -> bytes:
        await sweep(bench)
        return await fetch(bench.blobs, MIRROR, layer)

    meanwhile.begin(sweep_and_pull())
    await evict(bench)
    assert await meanwhile.ended() == LAYER
    await fills_ended()
    assert await is_sound(bench, layer)


async def test_a_manifest_that_comes_again_while_it_is_set_aside_keeps_its_file(
    bench: Workbench, meanwhile: Meanwhile, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    await get(bench)
    meanwhile.store.publish(old.digest, b"rot")
    hub_upstream.put("library/redis", "latest", old)
    again = set_up(bench.ground, bench.upstreams)
    meanwhile.begin(get(again, TO_REDIS))
    assert (await get(again)).content == OLD.content
    await meanwhile.ended()
    assert await is_sound(again, old.digest)
    await again.close()


async def test_a_blob_that_comes_again_while_it_is_set_aside_keeps_its_file(
    bench: Workbench, meanwhile: Meanwhile, hub_upstream: ScriptedUpstream, layer: Digest
) -> None:
    """Found too short by a pull, while a download of the same bytes for another one ends."""
    hub_upstream.put_blob("library/redis", layer, LAYER)
    hub_upstream.by_hand.add(layer)
    first = asyncio.create_task(fetch(bench.blobs, TO_REDIS, layer))
    tap = await hub_upstream.next_tap()
    await bench.facts.put_blob(NGINX, BlobRecord(layer, SIZE), bench.clock.now())
    meanwhile.store.publish(layer, LAYER[:-1])

    async def end() -> None:
        tap.let_rest()
        await fills_ended()

    meanwhile.begin(end())
    assert await fetch(bench.blobs, MIRROR, layer) == LAYER
    assert await first == LAYER
    await meanwhile.ended()
    await fills_ended()
    assert await is_sound(bench, layer)
