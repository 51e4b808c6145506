"""What a crash left behind goes after a while, and nothing that is recorded goes."""

import asyncio
import os
from datetime import timedelta
from pathlib import Path

import pytest

from mirror.ports.blobs import StorageError
from mirror.registry.housekeeping import ABANDONED, UNRECORDED
from tests.registry.chores import TEN_YEARS, store
from tests.registry.reading import fetch
from tests.registry.scripted_upstream import ScriptedUpstream
from tests.registry.shelf import (
    HOSTED,
    MANIFEST_SIZE,
    NGINX,
    SECOND,
    Shelf,
    content,
    digest,
    disk_shelf,
)
from tests.registry.troubled_stores import TroubledFacts, TroubledStore
from tests.registry.workbench import HUB, MIRROR, NAME, memory_ground, set_up


async def test_a_file_without_a_row_is_removed_after_a_while(tight: Shelf) -> None:
    left = await tight.put_blob(NGINX, "left", 100, recorded=False)
    recorded = await tight.put_image(NGINX, "image", {"a": 100})
    tight.clock.advance(UNRECORDED - 5 * SECOND)
    assert await tight.housekeeping.sweep() == 0
    assert tight.has_file(left)
    tight.clock.advance(10 * SECOND)
    assert await tight.housekeeping.sweep() == 100
    assert not tight.has_file(left)
    assert await tight.holds(recorded)
    assert await tight.holds(digest("a", 100))


async def test_on_disk_too(tmp_path: Path) -> None:
    async with disk_shelf(tmp_path) as shelf:
        now = shelf.clock.now().timestamp()
        places = {}
        for name, age in (("old", 2), ("new", 0), ("kept", 2)):
            one = await shelf.put_blob(NGINX, name, 100, recorded=name == "kept")
            places[name] = tmp_path / "blobs" / "sha256" / one.encoded[:2] / one.encoded
            os.utime(places[name], (now, now - age * UNRECORDED.total_seconds()))
        assert await shelf.housekeeping.sweep() == 100
        assert {name: place.exists() for name, place in places.items()} == {
            "old": False,
            "new": True,
            "kept": True,
        }


async def test_an_eviction_that_was_killed_is_completed_by_the_sweep(
    tight: Shelf, facts: TroubledFacts, files: TroubledStore
) -> None:
    """Rows go first: what is left are files that nothing knows of."""
    image = await tight.put_image(NGINX, "image", {"a": 100})
    ours = await tight.put_image(HOSTED, "ours", {"x": 100})

    async def die() -> None:
        raise asyncio.CancelledError

    files.before_delete = die
    with pytest.raises(asyncio.CancelledError):
        await tight.evict()
    assert await facts.get_stored(image) is None
    assert tight.has_file(image)
    files.before_delete = TroubledStore(tight.clock).before_delete
    assert await tight.housekeeping.sweep() == 0
    tight.clock.advance(UNRECORDED + SECOND)
    assert await tight.housekeeping.sweep() == 100 + MANIFEST_SIZE
    assert set(await tight.stored()) == {ours, digest("x", 100)}


async def test_a_file_that_could_not_be_deleted_is_swept_later(
    tight: Shelf, files: TroubledStore
) -> None:
    loose = await tight.put_blob(NGINX, "loose", 100)
    await tight.put_blob(HOSTED, "ours", 100)
    files.undeletable.add(loose)
    await tight.evict()
    assert tight.has_file(loose)
    tight.clock.advance(UNRECORDED + SECOND)
    assert await tight.housekeeping.sweep() == 100
    assert not tight.has_file(loose)


async def test_until_then_whoever_asks_for_it_has_it(hub_upstream: ScriptedUpstream) -> None:
    layer = content("layer", 100)
    hub_upstream.put_blob(NAME, digest("layer", 100), layer)
    bench = set_up(memory_ground(), {HUB: hub_upstream})
    await bench.store.put(digest("layer", 100), layer)
    assert await fetch(bench.blobs, MIRROR, digest("layer", 100)) == layer
    assert hub_upstream.count("blob") == 0
    bench.clock.advance(2 * UNRECORDED)
    assert await bench.housekeeping.sweep() == 0
    assert bench.has(digest("layer", 100))
    await bench.close()


async def test_abandoned_downloads_are_removed_and_others_are_not(tight: Shelf) -> None:
    for name in ("fill-abandoned", "fill-open", "fill-resumed", "upload-a"):
        ingest = await tight.store.ingest(name)
        await ingest.write(b"x" * 100)
        if name != "fill-open":
            ingest.close()
    tight.clock.advance(ABANDONED - SECOND)
    resumed = await tight.store.ingest("fill-resumed")
    await resumed.write(b"x")
    resumed.close()
    assert await tight.housekeeping.sweep() == 0
    tight.clock.advance(2 * SECOND)
    assert await tight.housekeeping.sweep() == 100
    again = await tight.store.ingest("fill-abandoned")
    assert again.offset == 0
    again.close()
    resumed = await tight.store.ingest("fill-resumed")
    assert resumed.offset == 101
    resumed.close()
    with pytest.raises(StorageError, match="open"):
        await tight.store.ingest("fill-open")


@pytest.mark.parametrize("jump", [TEN_YEARS, -TEN_YEARS])
async def test_a_clock_that_jumps_costs_nothing_that_is_recorded(
    tight: Shelf, jump: timedelta
) -> None:
    await store(tight, *"abcdef")
    ours = await tight.put_image(HOSTED, "ours", {"x": 100})
    growing = await tight.store.ingest("open")
    await growing.write(b"x")
    tight.clock.jump(jump)
    await tight.housekeeping.sweep()
    assert (await tight.housekeeping.evict(dry_run=False)).count == 0
    assert len(await tight.stored()) == 8
    assert await tight.holds(ours)
    await growing.write(b"y")
    assert growing.offset == 2
    growing.close()


async def test_more_is_swept_at_the_same_time(tight: Shelf) -> None:
    async def sweep() -> int:
        return 70

    tight.housekeeping.sweep_with(sweep)
    assert await tight.housekeeping.sweep() == 70
