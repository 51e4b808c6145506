"""Room on the disk: who waits for it, who is refused, and what goes for it."""

import asyncio
from datetime import timedelta

import pytest

from mirror.ports.blobs import StorageError, StorageFull
from mirror.registry.housekeeping import HOPELESS
from tests.registry.chores import TEN_YEARS, store
from tests.registry.shelf import APP, Shelf, digest
from tests.registry.troubled_stores import TroubledFacts, TroubledStore


async def test_a_download_waits_for_room_on_the_disk(sparing: Shelf) -> None:
    await store(sparing, *"abcdefghij")
    await sparing.housekeeping.make_room(1000)
    assert len(await sparing.stored()) == 10
    await sparing.housekeeping.make_room(200)
    assert set(await sparing.stored()) == {digest(name, 100) for name in "cdefghij"}


async def test_where_there_is_still_no_room_it_is_refused(sparing: Shelf) -> None:
    await store(sparing, *"abcde")
    await sparing.put_image(APP, "frozen", {"x": 1000})
    sparing.frozen.add("ghcr.io")
    with pytest.raises(StorageFull, match=r"less than cache\.min_free is free"):
        await sparing.housekeeping.make_room(1501)
    assert set(await sparing.stored()) == {digest("frozen"), digest("x", 1000)}


async def test_a_push_heeds_what_must_stay_free_and_not_what_proxied_content_may_take(
    sparing: Shelf, tight: Shelf, files: TroubledStore
) -> None:
    await store(sparing, *"abcdefghij")
    await sparing.housekeeping.make_room_for_push(1200)
    assert set(await sparing.stored()) == {digest(name, 100) for name in "cdefghij"}
    with pytest.raises(StorageFull, match=r"less than cache\.min_free is free"):
        await sparing.housekeeping.make_room_for_push(5000)
    files.free = None
    await tight.housekeeping.make_room_for_push(5000)
    with pytest.raises(StorageFull, match=r"max_size"):
        await tight.housekeeping.make_room(5000)


async def test_nothing_goes_for_what_would_not_fit_anyway(
    sparing: Shelf, facts: TroubledFacts
) -> None:
    await store(sparing, *"abcde")
    with pytest.raises(StorageFull):
        await sparing.housekeeping.make_room(1501)
    assert facts.evictions == []
    assert len(await sparing.stored()) == 5
    await sparing.housekeeping.make_room(1500)
    assert await sparing.stored() == {}


async def test_nobody_looks_again_soon_where_nothing_was_to_be_had(
    sparing: Shelf, facts: TroubledFacts
) -> None:
    await sparing.put_image(APP, "frozen", {"x": 1000})
    sparing.frozen.add("ghcr.io")
    with pytest.raises(StorageFull):
        await sparing.housekeeping.make_room(1100)
    sparing.frozen.clear()
    counted = facts.counted
    with pytest.raises(StorageFull):
        await sparing.housekeeping.make_room(1100)
    assert facts.counted == counted
    sparing.clock.advance(timedelta(seconds=HOPELESS))
    await sparing.housekeeping.make_room(1100)
    assert await sparing.stored() == {}


async def test_those_that_wait_for_an_eviction_in_vain_begin_no_other(
    sparing: Shelf, facts: TroubledFacts
) -> None:
    await sparing.put_image(APP, "frozen", {"x": 1000})
    sparing.frozen.add("ghcr.io")
    waiting = [sparing.housekeeping.make_room(1100) for _ in range(10)]
    refused = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(error, StorageFull) for error in refused)
    assert facts.counted == 1


async def test_nobody_waits_for_an_eviction_where_nothing_was_to_be_had(
    sparing: Shelf, facts: TroubledFacts
) -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        begun.set()
        await may_end.wait()

    await sparing.put_image(APP, "frozen", {"x": 1000})
    sparing.frozen.add("ghcr.io")
    with pytest.raises(StorageFull):
        await sparing.housekeeping.make_room(1100)
    facts.during_totals = wait
    looking = asyncio.create_task(sparing.housekeeping.evict(dry_run=True))
    await begun.wait()
    with pytest.raises(StorageFull, match="min_free"):
        await asyncio.wait_for(sparing.housekeeping.make_room(1100), 30)
    may_end.set()
    await looking


async def test_downloads_that_begin_together_share_what_one_eviction_freed(
    sparing: Shelf, files: TroubledStore
) -> None:
    """The disk is 500 bytes short already: these have to go once, not for each of them."""
    files.free = 500
    await store(sparing, *(f"{number}" for number in range(20)))
    await asyncio.gather(*[sparing.housekeeping.make_room(100) for _ in range(5)])
    assert len(await sparing.stored()) == 10


async def test_no_room_is_promised_twice(sparing: Shelf) -> None:
    await store(sparing, *"abcde")
    await asyncio.gather(*[sparing.housekeeping.make_room(500) for _ in range(3)])
    assert await sparing.stored() == {}
    with pytest.raises(StorageFull):
        await sparing.housekeeping.make_room(1)


async def test_a_new_figure_of_the_store_knows_of_it_all(
    sparing: Shelf, files: TroubledStore
) -> None:
    """Downloads that came to nothing take no room, and files that went are not counted twice."""
    await sparing.housekeeping.make_room(1000)
    sparing.clock.advance(timedelta(seconds=5))
    await sparing.housekeeping.make_room(1000)
    files.free = 1500
    await sparing.housekeeping.make_room(500)
    await store(sparing, "a")
    await sparing.housekeeping.make_room(100)
    assert await sparing.stored() == {}
    files.free = 1000
    with pytest.raises(StorageFull):
        await sparing.housekeeping.make_room(1)


async def test_files_that_could_not_be_deleted_made_no_room(
    sparing: Shelf, files: TroubledStore
) -> None:
    await store(sparing, *"ab")
    files.undeletable.add(digest("a", 100))
    with pytest.raises(StorageFull):
        await sparing.housekeeping.make_room(1200)


@pytest.mark.parametrize("method", ["evict", "totals", "record_uses"])
async def test_facts_that_fail_leave_a_download_without_room(
    sparing: Shelf, facts: TroubledFacts, method: str
) -> None:
    await store(sparing, "a")
    sparing.touch(None, digest("b"))
    facts.failing.add(method)
    with pytest.raises(StorageFull, match=f"cache.min_free is free, .*{method} cannot be done"):
        await sparing.housekeeping.make_room(1050)
    facts.failing.clear()
    await sparing.housekeeping.make_room(1050)
    assert await sparing.stored() == {}


async def test_a_disk_that_cannot_be_measured_is_told(sparing: Shelf, files: TroubledStore) -> None:
    files.failing.add("space")
    with pytest.raises(StorageError, match="space"):
        await sparing.housekeeping.make_room(1)
    sparing.housekeeping.added(1)


async def test_a_disk_that_gets_short_by_itself_is_relieved(
    sparing: Shelf, files: TroubledStore
) -> None:
    await store(sparing, *"abcde")
    files.free = 850
    report = await sparing.housekeeping.evict(dry_run=False)
    assert report.reason == "less than cache.min_free is free"
    assert (report.needed, report.freed) == (150, 200)


async def test_hopelessness_ends_with_time_and_not_with_the_clock(
    sparing: Shelf, facts: TroubledFacts
) -> None:
    await sparing.put_image(APP, "frozen", {"x": 1000})
    sparing.frozen.add("ghcr.io")
    with pytest.raises(StorageFull):
        await sparing.housekeeping.make_room(1100)
    sparing.clock.jump(TEN_YEARS)
    with pytest.raises(StorageFull):
        await sparing.housekeeping.make_room(1100)
    assert facts.counted == 1
    sparing.clock.jump(-2 * TEN_YEARS)
    sparing.frozen.clear()
    sparing.clock.advance(timedelta(seconds=HOPELESS))
    await sparing.housekeeping.make_room(1100)
