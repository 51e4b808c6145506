"""Uses and counters: written together, once, and taken up by the next run."""

import asyncio

import pytest

from mirror.ports.metadata import Use
from mirror.registry.statistics import Result, Statistics
from tests.registry.chores import TIGHT
from tests.registry.shelf import NGINX, Shelf, digest
from tests.registry.troubled_stores import TroubledFacts, TroubledStore
from tests.registry.workbench import HUB, settle
from tests.world import SettableClock


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
