"""Pushes, pulls and evictions between the look of a collection at a blob and the blob's end."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from mirror.ports.metadata import MetadataError
from mirror.registry.collection import Amounts, Stay, Tally
from mirror.registry.eviction import EvictionReport
from mirror.registry.housekeeping import UNRECORDED
from tests.registry.depot import (
    AMOUNTS,
    OURS,
    THEIRS,
    Depot,
    TroubledHosting,
    digests,
    memory_depot,
    record,
)
from tests.registry.shelf import MANIFEST_SIZE, NGINX, SECOND, content, digest
from tests.registry.troubled_stores import TroubledStore
from tests.registry.workbench import settle


@pytest.fixture
def depot() -> Depot:
    return memory_depot()


@pytest.fixture
def facts(depot: Depot) -> TroubledHosting:
    assert isinstance(depot.facts, TroubledHosting)
    return depot.facts


@pytest.fixture
def files(depot: Depot) -> TroubledStore:
    assert isinstance(depot.store, TroubledStore)
    return depot.store


Change = Callable[[Depot], Awaitable[object]]

CHANGES: dict[str, Change] = {
    "pushed again": lambda depot: depot.push_blob(OURS, "blob"),
    "asked for": lambda depot: depot.facts.renew_link(OURS, digest("blob", 100), depot.clock.now()),
    "mounted": lambda depot: depot.facts.mount_blob(THEIRS, digest("blob", 100), depot.clock.now()),
    "needed": lambda depot: depot.push_manifest(OURS, "image", {"blob": 100}),
    "linked by a pull": lambda depot: depot.facts.link_blob(NGINX, digest("blob", 100)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_what_is_wanted_between_look_and_transaction_stays(
    depot: Depot, facts: TroubledHosting, change: Change
) -> None:
    blob = await depot.push_blob(OURS, "blob")
    depot.age()

    async def meanwhile() -> None:
        await change(depot)

    facts.before_collect = meanwhile
    report = await depot.collect()
    assert report.count == 0
    assert report.kept == ((Stay.WANTED, Tally(1, 100)),)
    assert await depot.shelf.holds(blob)


async def test_a_use_that_is_not_written_keeps_a_blob(depot: Depot, facts: TroubledHosting) -> None:
    """It comes while the uses before it are being written."""
    blob = await depot.push_blob(OURS, "blob")
    depot.age()
    unknown = digest("unknown")

    async def use() -> None:
        if facts.pages:
            depot.shelf.touch(None, blob)
        else:
            depot.shelf.touch(None, unknown)

    facts.during_writes = use
    depot.shelf.touch(None, unknown)
    assert (await depot.collect()).kept == ((Stay.WANTED, Tally(1, 100)),)
    assert await depot.shelf.holds(blob)


async def test_a_push_that_stores_the_blob_just_now_keeps_it(depot: Depot) -> None:
    """Its file is there again, and its row is not renewed yet."""
    blob = await depot.push_blob(OURS, "blob")
    depot.age()
    async with depot.shelf.custody.arriving(blob):
        report = await depot.collect()
    assert report.kept == ((Stay.BUSY, Tally(1, 100)),)
    assert await depot.shelf.holds(blob)
    assert (await depot.collect()).count == 1


async def test_a_push_that_comes_between_row_and_file_has_its_file(
    depot: Depot, files: TroubledStore
) -> None:
    blob = await depot.push_blob(OURS, "blob")
    depot.age()
    pushes: list[asyncio.Task[None]] = []

    async def push() -> None:
        async with depot.shelf.custody.arriving(blob):
            await depot.store.put(blob, content("blob", 100))
            await depot.facts.put_blob(OURS, record("blob"), depot.clock.now())

    async def meanwhile() -> None:
        pushes.append(asyncio.ensure_future(push()))
        await settle()

    files.before_delete = meanwhile
    assert (await depot.collect()).count == 1
    await pushes[0]
    assert await depot.shelf.holds(blob)
    assert await depot.facts.get_blob(OURS, blob) is not None


async def test_rows_go_before_files(depot: Depot, files: TroubledStore) -> None:
    blob = await depot.push_blob(OURS, "blob")
    depot.age()
    seen = []

    async def look() -> None:
        seen.append((await depot.facts.get_stored(blob) is None, depot.shelf.has_file(blob)))

    files.before_delete = look
    await depot.collect()
    assert seen == [(True, True)]


async def test_a_file_that_cannot_be_deleted_is_told_and_swept_later(
    depot: Depot, files: TroubledStore, caplog: pytest.LogCaptureFixture
) -> None:
    blob = await depot.push_blob(OURS, "blob")
    await depot.push_blob(OURS, "other", 7)
    await depot.push_image(OURS, "image", {"a": 1})
    depot.age()
    files.undeletable.add(blob)
    report = await depot.collect()
    assert (report.count, report.freed, report.undeleted) == (1, 7, Tally(1, 100))
    assert depot.shelf.statistics.total("collected_bytes") == 7
    assert f"1 files could not be deleted, {blob} among them" in caplog.text
    assert depot.shelf.has_file(blob)
    depot.clock.advance(UNRECORDED + SECOND)
    await depot.shelf.housekeeping.sweep()
    assert await depot.stored() == {digest("image"), digest("a", 1)}


async def test_a_collection_that_was_killed_is_completed_by_the_sweep(
    depot: Depot, files: TroubledStore
) -> None:
    blob = await depot.push_blob(OURS, "blob")
    await depot.push_image(OURS, "image", {"a": 1})
    depot.age()

    async def die() -> None:
        raise asyncio.CancelledError

    files.before_delete = die
    with pytest.raises(asyncio.CancelledError):
        await depot.collect()
    assert depot.shelf.has_file(blob)
    files.before_delete = TroubledStore(depot.clock).before_delete
    depot.clock.advance(UNRECORDED + SECOND)
    await depot.shelf.housekeeping.sweep()
    assert await depot.stored() == {digest("image"), digest("a", 1)}


async def test_an_eviction_may_run_at_the_same_time(depot: Depot, files: TroubledStore) -> None:
    """Both would delete the bytes of a deleted manifest, which nobody links."""
    await depot.push_image(OURS, "image", {})
    await depot.delete_image(OURS, "image")
    await depot.shelf.put_image(NGINX, "cached", {"a": 100})
    await depot.push_blob(OURS, "blob")
    depot.age()
    tasks: list[asyncio.Task[EvictionReport]] = []

    async def evict() -> None:
        if not tasks:
            tasks.append(asyncio.ensure_future(depot.shelf.evict()))
            await settle()

    files.before_delete = evict
    collected = (await depot.collect()).freed
    evicted = (await tasks[0]).freed
    assert await depot.stored() == set()
    assert (collected, evicted) == (100 + MANIFEST_SIZE, 100 + MANIFEST_SIZE)


async def test_a_collection_may_begin_while_an_eviction_deletes(
    depot: Depot, files: TroubledStore
) -> None:
    await depot.push_image(OURS, "image", {})
    await depot.delete_image(OURS, "image")
    depot.age()
    reports = []

    async def collect() -> None:
        files.before_delete = TroubledStore(depot.clock).before_delete
        reports.append(await depot.collect())

    files.before_delete = collect
    assert (await depot.shelf.evict()).freed == MANIFEST_SIZE
    assert [report.count for report in reports] == [0]
    assert await depot.stored() == set()


async def test_others_get_in_between_two_pages(depot: Depot, facts: TroubledHosting) -> None:
    """A million dead blobs must not keep a pull waiting, nor fill the memory."""
    for number in range(20):
        await depot.push_blob(OURS, f"{number}")
    depot.age()
    collecting = asyncio.ensure_future(depot.collect(dry_run=True))
    turns = 0
    while not collecting.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns >= 20 // AMOUNTS.page
    assert max(facts.pages) == AMOUNTS.page


async def test_links_go_in_pages_too(depot: Depot) -> None:
    names = [f"{number}" for number in range(5)]
    for name in names:
        await depot.push_image(OURS, f"image {name}", {name: 100})
        await depot.facts.mount_blob(THEIRS, digest(name, 100), depot.clock.now())
    depot.age()
    depot.amounts = Amounts(page=2)
    assert (await depot.collect()).links == 5
    assert digests(names) <= await depot.stored()


@pytest.mark.parametrize("method", ["list_dead_blobs", "collect_blobs", "record_uses"])
async def test_facts_that_fail_lose_nothing(
    depot: Depot, facts: TroubledHosting, method: str
) -> None:
    blob = await depot.push_blob(OURS, "blob")
    depot.age()
    depot.shelf.touch(None, digest("unknown"))
    facts.failing.add(method)
    with pytest.raises(MetadataError):
        await depot.collect()
    facts.failing.clear()
    assert await depot.shelf.holds(blob)
    assert (await depot.collect()).count == 1
