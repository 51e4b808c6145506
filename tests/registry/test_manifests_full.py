"""Stores and facts that take no more cost the copy, never the answer."""

import errno
import os
from pathlib import Path

import pytest

from mirror.oci.errors import ManifestUnknown
from mirror.oci.manifest import Manifest
from mirror.registry.statistics import Result
from mirror.storage.memory import MemoryBlobStore
from tests.registry.full_facts import FullFacts
from tests.registry.moving_tag import NEW, get, pull
from tests.registry.scripted_upstream import ScriptedUpstream
from tests.registry.workbench import (
    HUB,
    LATEST,
    MIRROR,
    NAME,
    Ground,
    disk_ground,
    memory_ground,
    set_up,
)
from tests.world import SettableClock


def full(reached: str) -> None:
    if reached == "ingest.created":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


async def test_a_store_that_is_full_costs_the_copy(
    tmp_path: Path, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    bench = set_up(disk_ground(tmp_path, checkpoint=full), {HUB: hub_upstream})
    for _ in range(2):
        assert (await get(bench)).content == old.content
        assert (await bench.manifests.get(MIRROR, old.digest)).content == old.content
    assert not bench.has(old.digest)
    await bench.close()


async def test_a_tag_that_moves_while_the_store_is_full_is_served_as_it_is_now(
    hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    ground = memory_ground(capacity=old.size)
    bench = set_up(ground, {HUB: hub_upstream})
    await pull(bench)
    new = hub_upstream.push(NAME, "latest", NEW)
    answer = await get(bench)
    assert (answer.content, answer.handling.result) == (new.content, Result.MISS)
    assert not bench.has(new.digest)
    assert (await get(bench)).content == new.content
    await bench.close()


async def test_facts_that_cannot_be_written_cost_the_facts(
    hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    clock, facts = SettableClock(), FullFacts()
    bench = set_up(Ground(clock, MemoryBlobStore(clock), facts), {HUB: hub_upstream})
    facts.is_full = True
    for _ in range(2):
        assert (await get(bench)).content == old.content
        head = await bench.manifests.resolve(MIRROR, LATEST, content=False)
        assert head.descriptor == old.descriptor
        by_digest = await bench.manifests.get(MIRROR, old.digest)
        assert by_digest.content == old.content
    facts.is_full = False
    await pull(bench)
    facts.is_full = True
    assert (await get(bench)).handling.result is Result.REVALIDATED
    new = hub_upstream.push(NAME, "latest", NEW)
    assert (await get(bench)).content == new.content
    hub_upstream.tags.clear()
    with pytest.raises(ManifestUnknown):
        await get(bench)
    await bench.close()
