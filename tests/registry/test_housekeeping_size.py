"""The size of the cache: when it is too large, what goes, and who waits for that."""

import asyncio

import pytest

from mirror.ports.blobs import StorageFull
from tests.registry.chores import going_on, store
from tests.registry.shelf import HOSTED, NGINX, REDIS, SECOND, Shelf, digest
from tests.registry.troubled_stores import TroubledFacts, TroubledStore
from tests.registry.workbench import settle


async def test_below_the_limit_nothing_goes(tight: Shelf) -> None:
    await store(tight, *"abcdefghij")
    report = await tight.housekeeping.evict(dry_run=False)
    assert (report.count, report.needed) == (0, 0)
    assert report.reason == "nothing is above its limits"
    assert len(await tight.stored()) == 10


async def test_above_the_limit_it_goes_down_to_the_low_one_and_no_further(tight: Shelf) -> None:
    await store(tight, *"abcdefghijk")
    tight.clock.advance(SECOND)
    report = await tight.housekeeping.evict(dry_run=False)
    assert report.reason == "cache.max_size is exceeded"
    assert report.needed == report.freed == 500
    assert set(await tight.stored()) == {digest(name, 100) for name in "fghijk"}
    assert (await tight.housekeeping.evict(dry_run=False)).count == 0


async def test_a_dry_run_says_so_and_changes_nothing(tight: Shelf, facts: TroubledFacts) -> None:
    await store(tight, *"abcdefghijk")
    tight.clock.advance(SECOND)
    report = await tight.housekeeping.evict(dry_run=True)
    assert report.dry_run
    assert report.freed == 500
    assert facts.evictions == []
    assert len(await tight.stored()) == 11
    done = await tight.housekeeping.evict(dry_run=False)
    assert done.victims == report.victims


async def test_a_download_does_not_wait_for_the_size_of_the_cache(
    tight: Shelf, facts: TroubledFacts
) -> None:
    await store(tight, *"abcdefghij")
    await tight.housekeeping.make_room(500)
    assert facts.evictions == []
    assert len(await tight.stored()) == 10


async def test_nor_for_an_eviction_that_goes_on(tight: Shelf, facts: TroubledFacts) -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        begun.set()
        await may_end.wait()

    await store(tight, *"abcdefghijk")
    facts.before_evict = wait
    tight.clock.advance(SECOND)
    evicting = asyncio.create_task(tight.housekeeping.evict(dry_run=False))
    await begun.wait()
    await asyncio.wait_for(tight.housekeeping.make_room(500), 30)
    may_end.set()
    assert (await evicting).freed == 500


async def test_but_an_eviction_follows(tight: Shelf, files: TroubledStore) -> None:
    deleted = asyncio.Event()

    async def tell() -> None:
        deleted.set()

    files.before_delete = tell
    async with going_on(tight.housekeeping.keep_limits):
        await store(tight, *"abcdefghij")
        await settle()
        assert len(await tight.stored()) == 10
        await store(tight, "k")
        await asyncio.wait_for(deleted.wait(), 30)
        await settle()
    assert set(await tight.stored()) == {digest(name, 100) for name in "fghijk"}


async def test_what_is_larger_than_the_cache_is_not_stored(tight: Shelf) -> None:
    await tight.housekeeping.make_room(1000)
    with pytest.raises(StorageFull, match=r"1001 bytes are more than cache\.max_size"):
        await tight.housekeeping.make_room(1001)


async def test_what_is_stored_is_taken_from_the_records_at_the_start(
    tight: Shelf, facts: TroubledFacts
) -> None:
    """Nothing was added since the server runs; it was all here before."""
    for name in "abcdefghijk":
        await tight.put_blob(NGINX, name, 100)
    async with going_on(tight.housekeeping.keep_limits):
        await settle()
    assert facts.counted
    assert len(await tight.stored()) == 6


async def test_what_comes_while_it_is_added_up_is_counted(
    tight: Shelf, facts: TroubledFacts
) -> None:
    await store(tight, *"abcde")

    async def come() -> None:
        tight.housekeeping.added(600)

    facts.during_totals = come
    report = await tight.housekeeping.evict(dry_run=True)
    assert report.needed == 500


async def test_a_shelf_of_two_repositories_is_one_cache(tight: Shelf) -> None:
    """The sum is that of what is stored, and each blob is stored once."""
    await tight.put_image(NGINX, "one", {"shared": 800})
    await tight.put_image(REDIS, "two", {"shared": 800})
    assert (await tight.housekeeping.evict(dry_run=True)).needed == 0


async def test_what_is_hosted_has_no_limit(tight: Shelf) -> None:
    await tight.put_image(HOSTED, "app", {"large": 5000})
    await store(tight, *"abcdefghij")
    assert (await tight.housekeeping.evict(dry_run=False)).count == 0
    await store(tight, "k")
    assert (await tight.housekeeping.evict(dry_run=True)).needed == 500


async def test_what_a_hosted_repository_took_over_is_no_longer_the_cache(tight: Shelf) -> None:
    await store(tight, *"abcdefghijk")
    await tight.facts.link_blob(HOSTED, digest("a", 100))
    assert (await tight.housekeeping.evict(dry_run=True)).needed == 0
