"""Collections follow a schedule and the wish of an operator, one after the other."""

import asyncio
from datetime import timedelta

import pytest

from mirror.ports.metadata import MetadataError
from mirror.registry.collector import PastCollection
from tests.registry.chores import going_on, until
from tests.registry.depot import GRACE, OURS, Depot, TroubledHosting, memory_depot
from tests.registry.shelf import SECOND
from tests.registry.troubled_stores import TroubledStore
from tests.registry.workbench import settle

AT_ONCE = timedelta()


@pytest.fixture
def depot() -> Depot:
    return memory_depot()


@pytest.fixture
def facts(depot: Depot) -> TroubledHosting:
    assert isinstance(depot.facts, TroubledHosting)
    return depot.facts


async def test_one_at_a_time(depot: Depot) -> None:
    assert isinstance(depot.store, TroubledStore)
    collector = depot.collector()
    await depot.push_blob(OURS, "blob")
    depot.age()
    deleting, going_on = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        deleting.set()
        await going_on.wait()

    depot.store.before_delete = wait
    first = asyncio.ensure_future(collector.collect(dry_run=False))
    await deleting.wait()
    assert collector.status().running
    second = asyncio.ensure_future(collector.collect(dry_run=False))
    await settle()
    assert not second.done()
    going_on.set()
    assert [(await first).count, (await second).count] == [1, 0]
    assert not collector.status().running


async def test_it_goes_on_though_facts_fail(
    depot: Depot, facts: TroubledHosting, caplog: pytest.LogCaptureFixture
) -> None:
    collector = depot.collector(every=AT_ONCE)
    blob = await depot.push_blob(OURS, "blob")
    depot.age()
    facts.failing.add("collect_blobs")
    async with going_on(collector.keep_collected):
        await until(lambda: depot.shelf.statistics.total("failed_collections") > 1)
        assert "collecting garbage failed: collect_blobs cannot be done" in caplog.text
        last = collector.status().last
        assert last is not None
        assert last.failure == "collect_blobs cannot be done"
        facts.failing.clear()
        await until(lambda: not depot.shelf.has_file(blob))


async def test_what_nobody_thought_of_ends_nothing(
    depot: Depot, facts: TroubledHosting, caplog: pytest.LogCaptureFixture
) -> None:
    collector = depot.collector(every=AT_ONCE)
    blob = await depot.push_blob(OURS, "blob")
    depot.age()

    async def surprise() -> None:
        facts.before_collect = TroubledHosting().before_collect
        raise ZeroDivisionError

    facts.before_collect = surprise
    async with going_on(collector.keep_collected):
        await until(lambda: not depot.shelf.has_file(blob))
    assert "collecting garbage failed" in caplog.text


async def test_without_a_schedule_there_is_only_the_wish(depot: Depot) -> None:
    collector = depot.collector()
    await collector.keep_collected()
    assert collector.status().next_at is None
    await depot.push_blob(OURS, "blob")
    depot.age()
    assert (await collector.collect(dry_run=False)).count == 1


async def test_the_last_and_the_next_time_are_told(depot: Depot) -> None:
    collector = depot.collector(every=timedelta(hours=24))
    assert collector.status().last is None
    await depot.push_blob(OURS, "blob")
    depot.age()
    now = depot.clock.now()
    async with going_on(collector.keep_collected):
        await until(lambda: collector.status().last is not None)
        await settle()
        status = collector.status()
        assert status.last == PastCollection(now, 0.0, 1, 100, None)
        assert status.next_at == now + timedelta(hours=24)
        assert (status.every, status.grace) == (timedelta(hours=24), GRACE)
        depot.clock.advance(SECOND)
        await collector.collect(dry_run=True)
        assert collector.status().last == status.last
    assert depot.shelf.statistics.total("collections") == 1


async def test_one_that_fails_says_how_far_it_came(depot: Depot, facts: TroubledHosting) -> None:
    collector = depot.collector()
    for name in "abcd":
        await depot.push_blob(OURS, name)
    depot.age()
    batches: list[int] = []

    async def fail_later() -> None:
        batches.append(1)
        if len(batches) > 1:
            raise MetadataError("the disk is full")

    facts.before_collect = fail_later
    with pytest.raises(MetadataError):
        await collector.collect(dry_run=False)
    last = collector.status().last
    assert last is not None
    assert (last.count, last.size, last.failure) == (2, 200, "the disk is full")
