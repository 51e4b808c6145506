"""A store that has no descriptor left: who asks is told to wait, and no upstream has to pay."""

from collections.abc import AsyncIterator

import pytest

from mirror.metadata.memory import MemoryMetadata
from mirror.oci.digest import Digest
from mirror.oci.manifest import Manifest
from mirror.ports.blobs import StorageBusy
from mirror.registry.statistics import Result
from tests.registry.moving_tag import get
from tests.registry.one_layer import pulled
from tests.registry.scripted_upstream import ScriptedUpstream
from tests.registry.troubled_stores import TroubledStore
from tests.registry.workbench import HUB, LATEST, MIRROR, Ground, Workbench, set_up
from tests.world import SettableClock


@pytest.fixture
def ground(clock: SettableClock, files: TroubledStore) -> Ground:
    return Ground(clock, files, MemoryMetadata())


@pytest.fixture
async def bench(ground: Ground, hub_upstream: ScriptedUpstream) -> AsyncIterator[Workbench]:
    bench = set_up(ground, {HUB: hub_upstream})
    yield bench
    await bench.close()


async def test_a_blob_that_cannot_be_opened_now_is_not_asked_of_the_upstream(
    bench: Workbench, files: TroubledStore, hub_upstream: ScriptedUpstream, layer: Digest
) -> None:
    await pulled(bench)
    hub_upstream.asked.clear()
    files.busy.add("open")
    for ask in (bench.blobs.get, bench.blobs.head):
        with pytest.raises(StorageBusy):
            await ask(MIRROR, layer)
    files.busy.clear()
    assert (await bench.blobs.head(MIRROR, layer)).handling.result is Result.HIT
    assert hub_upstream.asked == []


async def test_a_manifest_that_cannot_be_read_now_costs_no_pull(
    bench: Workbench,
    ground: Ground,
    files: TroubledStore,
    hub_upstream: ScriptedUpstream,
    old: Manifest,
) -> None:
    assert (await get(bench)).content == old.content
    hub_upstream.asked.clear()
    restarted = set_up(ground, {HUB: hub_upstream})
    files.busy.add("read")
    with pytest.raises(StorageBusy):
        await restarted.manifests.get(MIRROR, old.digest)
    with pytest.raises(StorageBusy):
        await restarted.manifests.resolve(MIRROR, LATEST, content=True)
    files.busy.clear()
    answer = await restarted.manifests.get(MIRROR, old.digest)
    assert (answer.content, answer.handling.result) == (old.content, Result.HIT)
    assert hub_upstream.asked == []
    await restarted.close()
