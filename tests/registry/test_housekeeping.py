"""What the server does by itself: room, counts, and what a crash left behind."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from mirror.ports.blobs import StorageError, StorageFull
from mirror.ports.metadata import BlobRecord, Use
from mirror.registry.housekeeping import ABANDONED, HOPELESS, UNRECORDED, Pace
from mirror.registry.room import Limits
from mirror.registry.statistics import Result, Statistics
from tests.registry.reading import fetch
from tests.registry.scripted_upstream import ScriptedUpstream
from tests.registry.shelf import (
    HOSTED,
    MANIFEST_SIZE,
    NGINX,
    REDIS,
    SECOND,
    Shelf,
    content,
    digest,
    disk_shelf,
)
from tests.registry.troubled_stores import TroubledFacts, TroubledStore
from tests.registry.workbench import HUB, MIRROR, NAME, memory_ground, set_up, settle
from tests.world import SettableClock

TIGHT = Limits(max_size=1000, low_size=600, min_free=0)
SPARING = Limits(max_size=1 << 40, low_size=1 << 39, min_free=1000)
HASTY = Pace(flush=0, check=0, sweep=0)
TEN_YEARS = timedelta(days=3650)


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture
def facts() -> TroubledFacts:
    return TroubledFacts()


@pytest.fixture
def files(clock: SettableClock) -> TroubledStore:
    return TroubledStore(clock)


@pytest.fixture
def tight(clock: SettableClock, files: TroubledStore, facts: TroubledFacts) -> Shelf:
    """At most 1000 bytes of content, and an endless disk."""
    return Shelf(clock, files, facts, TIGHT)


@pytest.fixture
def sparing(clock: SettableClock, files: TroubledStore, facts: TroubledFacts) -> Shelf:
    """Content without an end, and a disk that has 1000 bytes more than must stay free."""
    files.free = 2000
    return Shelf(clock, files, facts, SPARING)


@pytest.fixture
def hasty(clock: SettableClock, files: TroubledStore, facts: TroubledFacts) -> Shelf:
    """Whose loops never rest."""
    return Shelf(clock, files, facts, pace=HASTY)


async def until(done: Callable[[], bool]) -> None:
    """Until loops that never rest have done it."""
    async with asyncio.timeout(10):
        while not done():  # noqa: ASYNC110 - nothing rings when a store is looked at
            await asyncio.sleep(0)


async def store(shelf: Shelf, *names: str, size: int = 100) -> None:
    """Blobs, each of its own age, and told to the housekeeping as fills tell them."""
    for name in names:
        await shelf.put_blob(NGINX, name, size)
        shelf.housekeeping.added(size)


@asynccontextmanager
async def going_on(loop: Callable[[], Awaitable[None]]) -> AsyncIterator[asyncio.Task[None]]:
    """A loop of the housekeeping, until the test has seen enough."""
    task = asyncio.ensure_future(loop())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})
    assert task.cancelled(), "it goes on until it is cancelled"


# The size of the cache.


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
    await asyncio.wait_for(tight.housekeeping.make_room(500), 5)
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
        await asyncio.wait_for(deleted.wait(), 5)
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


# Counts.


async def test_uses_and_counters_are_written_together_and_once(
    tight: Shelf, facts: TroubledFacts
) -> None:
    tight.touch(NGINX, digest("m"))
    tight.statistics.answered(HUB, "manifest", Result.HIT)
    await asyncio.gather(tight.housekeeping.flush(), tight.housekeeping.flush())
    assert facts.writes == [
        {Use(NGINX, digest("m")): tight.clock.now()},
        {"requests|docker.io|manifest|hit": 1},
    ]


async def test_a_flush_waits_for_the_one_before(tight: Shelf, facts: TroubledFacts) -> None:
    may_end = asyncio.Event()

    async def wait() -> None:
        await may_end.wait()

    facts.during_writes = wait
    tight.touch(NGINX, digest("m"))
    first = asyncio.create_task(tight.housekeeping.flush())
    await settle()
    second = asyncio.create_task(tight.housekeeping.flush())
    await settle()
    assert not second.done()
    may_end.set()
    await asyncio.gather(first, second)
    assert len(facts.writes) == 1


async def test_a_flush_that_is_cancelled_ends_with_its_write(
    tight: Shelf, facts: TroubledFacts
) -> None:
    may_end = asyncio.Event()

    async def wait() -> None:
        await may_end.wait()

    facts.during_writes = wait
    tight.statistics.answered(HUB, "manifest", Result.HIT)
    flush = asyncio.create_task(tight.housekeeping.flush())
    await settle()
    flush.cancel()
    await settle()
    assert not flush.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await flush
    await tight.housekeeping.flush()
    assert await facts.load_counters() == {"requests|docker.io|manifest|hit": 1}


async def test_counters_of_earlier_runs_are_taken_up(
    tight: Shelf, facts: TroubledFacts, clock: SettableClock, files: TroubledStore
) -> None:
    tight.statistics.answered(HUB, "manifest", Result.HIT)
    await tight.housekeeping.flush()
    later = Shelf(clock, files, facts, TIGHT, statistics=Statistics())
    await later.housekeeping.start()
    assert later.statistics.total("requests") == 1


# What a crash left.


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
    assert await tight.stored() == {}


async def test_a_file_that_could_not_be_deleted_is_swept_later(
    tight: Shelf, files: TroubledStore
) -> None:
    loose = await tight.put_blob(NGINX, "loose", 100)
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


async def test_a_file_that_is_recorded_while_it_is_swept_is_not_recorded_afterwards(
    tight: Shelf, facts: TroubledFacts, files: TroubledStore
) -> None:
    left = await tight.put_blob(NGINX, "left", 100, recorded=False)
    tight.clock.advance(2 * UNRECORDED)

    async def record() -> None:
        await facts.put_blob(NGINX, BlobRecord(left, 100), tight.clock.now())

    files.before_delete = record
    await tight.housekeeping.sweep()
    assert not await tight.holds(left)


async def test_abandoned_downloads_are_removed_and_others_are_not(tight: Shelf) -> None:
    for name in ("abandoned", "open", "resumed"):
        ingest = await tight.store.ingest(name)
        await ingest.write(b"x" * 100)
        if name != "open":
            ingest.close()
    tight.clock.advance(ABANDONED - SECOND)
    resumed = await tight.store.ingest("resumed")
    await resumed.write(b"x")
    resumed.close()
    assert await tight.housekeeping.sweep() == 0
    tight.clock.advance(2 * SECOND)
    assert await tight.housekeeping.sweep() == 100
    again = await tight.store.ingest("abandoned")
    assert again.offset == 0
    again.close()
    resumed = await tight.store.ingest("resumed")
    assert resumed.offset == 101
    resumed.close()
    with pytest.raises(StorageError, match="open"):
        await tight.store.ingest("open")


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


# The loops.


async def test_limits_are_kept_though_facts_fail_for_a_while(
    tight: Shelf, facts: TroubledFacts, caplog: pytest.LogCaptureFixture
) -> None:
    facts.failing.update(("totals", "evict"))
    async with going_on(tight.housekeeping.keep_limits):
        await settle()
        assert "adding up what is stored failed: totals cannot be done" in caplog.text
        await store(tight, *"abcdefghijk")
        await settle()
        assert "evicting failed: totals cannot be done" in caplog.text
        facts.failing.remove("totals")
        tight.housekeeping.added(0)
        await settle()
        assert "evicting failed: evict cannot be done" in caplog.text
        facts.failing.clear()
        tight.housekeeping.added(0)
        await settle()
    assert len(await tight.stored()) == 6


async def test_limits_are_kept_though_the_store_fails_for_a_while(
    tight: Shelf, files: TroubledStore, caplog: pytest.LogCaptureFixture
) -> None:
    files.failing.add("space")
    async with going_on(tight.housekeeping.keep_limits):
        await settle()
        assert "evicting failed: space cannot be done" in caplog.text
        files.failing.clear()
        await store(tight, *"abcdefghijk")
        await settle()
    assert len(await tight.stored()) == 6


async def test_what_nobody_thought_of_ends_no_loop(
    tight: Shelf, facts: TroubledFacts, caplog: pytest.LogCaptureFixture
) -> None:
    async def surprise() -> None:
        facts.during_totals = TroubledFacts().during_totals
        raise ZeroDivisionError

    facts.during_totals = surprise
    async with going_on(tight.housekeeping.keep_limits):
        await settle()
        assert "adding up what is stored failed" in caplog.text
        await store(tight, *"abcdefghijk")
        await settle()
    assert len(await tight.stored()) == 6


async def test_stored_blobs_begin_no_eviction_where_nothing_is_to_be_had(
    tight: Shelf, facts: TroubledFacts
) -> None:
    tight.frozen.add("docker.io")
    async with going_on(tight.housekeeping.keep_limits):
        await settle()
        await store(tight, *"abcdefghijk")
        await settle()
        counted = facts.counted
        await store(tight, *"lmnop")
        await settle()
        assert facts.counted == counted
        tight.frozen.clear()
        tight.clock.advance(timedelta(seconds=HOPELESS))
        await store(tight, "q")
        await settle()
    assert len(await tight.stored()) == 6


async def test_limits_are_looked_at_when_nobody_asks(sparing: Shelf, files: TroubledStore) -> None:
    """Somebody else fills the disk."""
    hasty = Shelf(sparing.clock, files, sparing.facts, SPARING, pace=HASTY)
    await store(sparing, *"abcde")
    async with going_on(hasty.housekeeping.keep_limits):
        await settle()
        assert len(await sparing.stored()) == 5
        files.free = 800
        await until(lambda: not sparing.has_file(digest("b", 100)))
    assert set(await sparing.stored()) == {digest(name, 100) for name in "cde"}


async def test_cleaning_goes_on_though_the_store_fails(
    hasty: Shelf, files: TroubledStore, facts: TroubledFacts, caplog: pytest.LogCaptureFixture
) -> None:
    left = await hasty.put_blob(NGINX, "left", 100, recorded=False)
    hasty.clock.advance(2 * UNRECORDED)
    files.failing.add("list_blobs")
    async with going_on(hasty.housekeeping.keep_clean):
        await until(lambda: facts.counted > 1)
        assert "removing abandoned files failed: list_blobs cannot be done" in caplog.text
        files.failing.clear()
        await until(lambda: not hasty.has_file(left))


async def test_counting_goes_on_though_facts_fail(
    hasty: Shelf, facts: TroubledFacts, caplog: pytest.LogCaptureFixture
) -> None:
    hasty.touch(NGINX, digest("m"))
    used_at = hasty.clock.now()
    facts.failing.add("record_uses")
    async with going_on(hasty.housekeeping.keep_counts):
        await until(lambda: len(caplog.records) > 1)
        assert "writing uses and counters failed: record_uses cannot be done" in caplog.text
        assert facts.writes == []
        facts.failing.clear()
        await until(lambda: bool(facts.writes))
        hasty.statistics.answered(HUB, "manifest", Result.HIT)
        await until(lambda: len(facts.writes) > 1)
    assert facts.writes == [
        {Use(NGINX, digest("m")): used_at},
        {"requests|docker.io|manifest|hit": 1},
    ]


async def test_a_shelf_of_two_repositories_is_one_cache(tight: Shelf) -> None:
    """The sum is that of what is stored, and each blob is stored once."""
    await tight.put_image(NGINX, "one", {"shared": 800})
    await tight.put_image(REDIS, "two", {"shared": 800})
    assert (await tight.housekeeping.evict(dry_run=True)).needed == 0
