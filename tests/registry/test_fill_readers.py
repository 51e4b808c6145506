"""Readers that leave or are slow cost the download and the others nothing."""

import asyncio
from pathlib import Path

from mirror.oci.digest import Digest
from tests.registry.conftest import open_files
from tests.registry.one_layer import LAYER, asking
from tests.registry.reading import begin, fetch
from tests.registry.scripted_upstream import ScriptedUpstream
from tests.registry.workbench import (
    HUB,
    MIRROR,
    Workbench,
    disk_ground,
    fills_ended,
    set_up,
    settle,
)


async def test_a_client_that_leaves_costs_the_others_nothing(
    bench: Workbench, hub_upstream: ScriptedUpstream, tapped: Digest
) -> None:
    client = await asking(bench, tapped)
    tap = await hub_upstream.next_tap()
    tap.let(50_000)
    leader = await client
    follower = await begin(bench.blobs, MIRROR, tapped)
    await leader.until(50_000)
    await leader.leave()
    tap.let_rest()
    assert await follower.complete() == LAYER
    assert hub_upstream.count("blob") == 1


async def test_a_download_goes_on_when_everybody_has_left(
    bench: Workbench, hub_upstream: ScriptedUpstream, tapped: Digest
) -> None:
    client = await asking(bench, tapped)
    tap = await hub_upstream.next_tap()
    tap.let(50_000)
    reading = await client
    await reading.until(50_000)
    await reading.leave()
    await settle()
    assert tap.is_open
    tap.let_rest()
    await fills_ended()
    assert await fetch(bench.blobs, MIRROR, tapped) == LAYER
    assert hub_upstream.count("blob") == 1


async def test_a_download_goes_on_when_the_client_left_before_it_was_answered(
    bench: Workbench, hub_upstream: ScriptedUpstream, tapped: Digest
) -> None:
    with hub_upstream.silent("blob"):
        client = await asking(bench, tapped)
        client.cancel()
        await asyncio.wait({client})
    tap = await hub_upstream.next_tap()
    tap.let_rest()
    await fills_ended()
    assert bench.has(tapped)


async def test_a_slow_reader_slows_nobody(
    bench: Workbench, hub_upstream: ScriptedUpstream, tapped: Digest
) -> None:
    client = asyncio.create_task(begin(bench.blobs, MIRROR, tapped, paused=True))
    tap = await hub_upstream.next_tap()
    slow = await client
    quick = await begin(bench.blobs, MIRROR, tapped)
    tap.let_rest()
    assert await quick.complete() == LAYER
    await fills_ended()
    assert bench.has(tapped)
    assert slow.received == b""
    slow.go_on()
    assert await slow.complete() == LAYER


async def test_the_file_is_let_go_when_the_last_reader_leaves(
    tmp_path: Path, hub_upstream: ScriptedUpstream, tapped: Digest
) -> None:
    bench = set_up(disk_ground(tmp_path), {HUB: hub_upstream})
    client = asyncio.create_task(begin(bench.blobs, MIRROR, tapped, paused=True))
    tap = await hub_upstream.next_tap()
    slow = await client
    quick = await begin(bench.blobs, MIRROR, tapped)
    tap.let_rest()
    await quick.complete()
    await fills_ended()
    assert len(open_below(tmp_path)) == 1
    slow.go_on()
    assert await slow.complete() == LAYER
    assert open_below(tmp_path) == []


async def test_the_file_is_let_go_at_the_end_when_nobody_reads(
    tmp_path: Path, hub_upstream: ScriptedUpstream, tapped: Digest
) -> None:
    bench = set_up(disk_ground(tmp_path), {HUB: hub_upstream})
    client = await asking(bench, tapped)
    tap = await hub_upstream.next_tap()
    reading = await client
    await reading.leave()
    assert open_below(tmp_path) != []
    tap.let_rest()
    await fills_ended()
    assert open_below(tmp_path) == []


def open_below(folder: Path) -> list[str]:
    return [target for target in open_files() if target.startswith(str(folder))]
