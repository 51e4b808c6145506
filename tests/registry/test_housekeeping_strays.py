"""Files that have lost their metadata are not taken for what a crash left behind."""

from pathlib import Path

import pytest

from mirror.metadata.cached import CachedMetadata
from mirror.metadata.memory import MemoryMetadata
from mirror.registry.housekeeping import ABANDONED, UNRECORDED
from tests.registry.chores import TEN_YEARS, TIGHT
from tests.registry.reading import fetch
from tests.registry.scripted_upstream import ScriptedUpstream
from tests.registry.shelf import NGINX, SECOND, Shelf, content, digest, disk_shelf
from tests.registry.workbench import HUB, MIRROR, NAME, memory_ground, set_up

NAMES = tuple("abcdef")


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


async def without_metadata(shelf: Shelf) -> Shelf:
    """As its next run finds it, long after somebody removed metadata.db."""
    for name in NAMES:
        await shelf.put_blob(NGINX, name, 100)
    shelf.clock.advance(2 * UNRECORDED)
    return Shelf(shelf.clock, shelf.store, CachedMetadata(MemoryMetadata()), TIGHT)


async def test_none_is_removed_and_that_is_said_once(
    tight: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    robbed = await without_metadata(tight)
    for _ in range(3):
        assert await robbed.housekeeping.sweep() == 0
    assert len(await robbed.stored()) == len(NAMES)
    (told,) = warnings_of(caplog)
    assert told.startswith("6 files in the data folder's blobs are recorded nowhere, 0 are: ")
    assert "restore metadata.db, or remove the folder blobs " in told


async def test_on_disk_too(tmp_path: Path) -> None:
    async with disk_shelf(tmp_path) as shelf:
        for name in NAMES:
            await shelf.put_blob(NGINX, name, 100)
    for file in ("metadata.db", "metadata.db-wal", "metadata.db-shm"):
        (tmp_path / file).unlink(missing_ok=True)
    async with disk_shelf(tmp_path) as shelf:
        # The files were made by the clock of the machine, which may be ahead of the shelf's.
        shelf.clock.advance(100 * TEN_YEARS)
        assert await shelf.housekeeping.sweep() == 0
        assert len(await shelf.stored()) == len(NAMES)


async def test_nor_after_the_next_pulls_nor_after_a_restart(
    tight: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    """A few rows in the new metadata make it no witness against everything else."""
    robbed = await without_metadata(tight)
    await robbed.housekeeping.sweep()
    for name in ("new", "newer"):
        await robbed.put_blob(NGINX, name, 100)
    robbed.clock.advance(2 * UNRECORDED)
    assert await robbed.housekeeping.sweep() == 0
    again = Shelf(robbed.clock, robbed.store, robbed.facts, TIGHT)
    assert await again.housekeeping.sweep() == 0
    assert len(await robbed.stored()) == len(NAMES) + 2
    assert [told.partition(":")[0] for told in warnings_of(caplog)] == [
        "6 files in the data folder's blobs are recorded nowhere, 0 are",
        "6 files in the data folder's blobs are recorded nowhere, 2 are",
    ]


async def test_once_they_are_few_they_go_and_another_time_is_told_again(
    tight: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    robbed = await without_metadata(tight)
    assert await robbed.housekeeping.sweep() == 0
    for name in NAMES[:3]:
        await robbed.put_blob(NGINX, name, 100)
    robbed.clock.advance(2 * UNRECORDED)
    assert await robbed.housekeeping.sweep() == 300
    assert set(await robbed.stored()) == {digest(name, 100) for name in NAMES[:3]}
    assert len(warnings_of(caplog)) == 1
    for name in NAMES[:3]:
        await robbed.facts.forget_blob(digest(name, 100))
    assert await robbed.housekeeping.sweep() == 0
    assert len(warnings_of(caplog)) == 2


async def test_young_files_are_no_strays(tight: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    for name in NAMES:
        await tight.put_blob(NGINX, name, 100, recorded=False)
    assert await tight.housekeeping.sweep() == 0
    assert warnings_of(caplog) == []


async def test_what_was_never_finished_goes_all_the_same(tight: Shelf) -> None:
    robbed = await without_metadata(tight)
    ingest = await robbed.store.ingest("fill-abandoned")
    await ingest.write(b"x" * 70)
    ingest.close()
    robbed.clock.advance(ABANDONED + SECOND)
    assert await robbed.housekeeping.sweep() == 70
    assert len(await robbed.stored()) == len(NAMES)


async def test_they_are_served_without_being_fetched_again(hub_upstream: ScriptedUpstream) -> None:
    layer = content("layer", 100)
    hub_upstream.put_blob(NAME, digest("layer", 100), layer)
    bench = set_up(memory_ground(), {HUB: hub_upstream})
    await bench.store.put(digest("layer", 100), layer)
    bench.clock.advance(2 * UNRECORDED)
    assert await bench.housekeeping.sweep() == 0
    assert await fetch(bench.blobs, MIRROR, digest("layer", 100)) == layer
    assert hub_upstream.count("blob") == 0
    assert await bench.housekeeping.sweep() == 0
    await bench.close()
