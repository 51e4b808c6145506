"""Manifests whose file is damaged or gone are fetched again, and never served as they are."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from mirror.oci.errors import ManifestUnknown, UpstreamFault
from mirror.oci.manifest import Manifest
from mirror.ports.upstream import UpstreamFailed
from mirror.registry.statistics import Result
from tests.registry.full_facts import FullFacts
from tests.registry.moving_tag import get, pull
from tests.registry.one_layer import rewrite
from tests.registry.scripted_upstream import ScriptedUpstream
from tests.registry.workbench import (
    DIRECT,
    HUB,
    MIRROR,
    Ground,
    Workbench,
    disk_ground,
    names_in,
    set_up,
)
from tests.world import SettableClock


def restarted(bench: Workbench, root: Path, upstream: ScriptedUpstream) -> Workbench:
    ground = Ground(bench.clock, disk_ground(root).store, bench.ground.facts)
    return set_up(ground, {HUB: upstream})


@pytest.mark.parametrize(
    "damage",
    [lambda content: content[:-1], lambda content: b"x" * len(content), lambda _: b""],
    ids=["short", "wrong", "empty"],
)
async def test_a_damaged_manifest_is_set_aside_and_fetched_again(
    tmp_path: Path,
    hub_upstream: ScriptedUpstream,
    old: Manifest,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[bytes], bytes],
) -> None:
    first = set_up(disk_ground(tmp_path), {HUB: hub_upstream})
    await pull(first)
    await first.close()
    rewrite(tmp_path, old.digest, damage(old.content))
    bench = restarted(first, tmp_path, hub_upstream)
    answers = await asyncio.gather(*[get(bench) for _ in range(50)])
    assert {answer.content for answer in answers} == {old.content}
    assert hub_upstream.count("manifest") == 2
    assert names_in(tmp_path / "quarantine")[0] == f"{old.digest.encoded}.1"
    assert caplog.text.count("is damaged on disk") == 1
    await bench.close()
    later = restarted(first, tmp_path, hub_upstream)
    assert (await later.manifests.get(MIRROR, old.digest)).handling.result is Result.HIT
    await later.close()


async def test_a_damaged_manifest_that_nobody_can_give_again_is_not_served(
    tmp_path: Path, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    first = set_up(disk_ground(tmp_path), {HUB: hub_upstream})
    await pull(first)
    await first.close()
    rewrite(tmp_path, old.digest, b"x" * old.size)
    bench = restarted(first, tmp_path, hub_upstream)
    hub_upstream.trouble.update(
        {"resolve": UpstreamFailed("500"), "manifest": UpstreamFailed("500")}
    )
    with pytest.raises(ManifestUnknown):
        await get(bench)
    with pytest.raises(UpstreamFault):
        await bench.manifests.get(DIRECT, old.digest)
    await bench.close()


async def test_a_manifest_whose_file_is_gone_is_fetched_again(
    ground: Ground, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    first = set_up(ground, {HUB: hub_upstream})
    await pull(first)
    await first.close()
    await ground.store.delete(old.digest)
    bench = set_up(ground, {HUB: hub_upstream})
    assert (await bench.manifests.get(MIRROR, old.digest)).handling.result is Result.MISS
    assert bench.has(old.digest)
    await bench.close()


async def test_a_damaged_manifest_while_no_fact_can_be_written(
    tmp_path: Path, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    clock, facts = SettableClock(), FullFacts()
    first = set_up(Ground(clock, disk_ground(tmp_path).store, facts), {HUB: hub_upstream})
    await pull(first)
    await first.close()
    rewrite(tmp_path, old.digest, b"x" * old.size)
    facts.is_full = True
    bench = restarted(first, tmp_path, hub_upstream)
    assert (await bench.manifests.get(MIRROR, old.digest)).content == old.content
    await bench.close()
