"""What every queue of events promises."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mirror.ports.events import Addressed, EventQueue, Standing
from tests.conformance.events import (
    ADAPTERS,
    AUDIT,
    CI,
    MOUNTED,
    MOVED,
    ROOMY,
    enqueue,
    to,
    waiting,
)
from tests.conformance.metadata import at


@pytest.fixture(params=ADAPTERS)
async def queue(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[EventQueue]:
    """An empty one of each adapter."""
    async with ADAPTERS[request.param](tmp_path) as queue:
        yield queue


async def test_an_event_comes_out_as_it_went_in(queue: EventQueue) -> None:
    events = [Addressed(CI, MOVED), Addressed(CI, MOUNTED)]
    await queue.enqueue(events, ROOMY, at(3))
    assert [queued.event for queued in await queue.take(CI, 10)] == [MOVED, MOUNTED]


async def test_nothing_waits_for_whom_nothing_came(queue: EventQueue) -> None:
    assert await queue.take(CI, 10) == []
    assert await queue.standings() == {}
    assert await queue.forget(CI) == 0
    assert await queue.expire(CI, at(100)) == 0
    await queue.done(CI, 5)
    await queue.postpone(CI, 1, at(5))
    assert await queue.enqueue([], ROOMY, at(0)) == {}
    assert await queue.standings() == {}


async def test_events_wait_in_order_until_they_are_done(queue: EventQueue) -> None:
    await enqueue(queue, CI, "a", "b")
    await enqueue(queue, CI, "c")
    assert await waiting(queue, CI, limit=2) == ["a", "b"]
    assert await waiting(queue, CI) == ["a", "b", "c"]
    second = (await queue.take(CI, 2))[1]
    await queue.done(CI, second.number)
    assert await waiting(queue, CI) == ["c"]


async def test_a_queue_takes_nothing_from_another(queue: EventQueue) -> None:
    await queue.enqueue([*to(CI, "a"), *to(AUDIT, "x"), *to(CI, "b")], ROOMY, at(0))
    await queue.done(AUDIT, (await queue.take(AUDIT, 1))[0].number)
    await queue.postpone(AUDIT, 3, at(9))
    assert await waiting(queue, CI) == ["a", "b"]
    assert await waiting(queue, AUDIT) == []
    assert await queue.standings() == {CI: Standing(2, 0, None), AUDIT: Standing(0, 3, at(9))}


async def test_failures_are_remembered_until_it_does_well_again(queue: EventQueue) -> None:
    await enqueue(queue, CI, "a", "b")
    await queue.postpone(CI, 2, at(30))
    await enqueue(queue, CI, "c")
    assert await queue.standings() == {CI: Standing(3, 2, at(30))}
    await queue.done(CI, (await queue.take(CI, 1))[0].number)
    assert await queue.standings() == {CI: Standing(2, 0, None)}


async def test_the_oldest_go_where_there_are_too_many(queue: EventQueue) -> None:
    await queue.enqueue(to(CI, "a", "b"), {CI: 3}, at(0))
    dropped = await queue.enqueue([*to(CI, "c", "d", "e"), *to(AUDIT, "x")], ROOMY | {CI: 3}, at(1))
    assert dropped == {CI: 2}
    assert await waiting(queue, CI) == ["c", "d", "e"]
    assert await queue.enqueue(to(CI, "1", "2", "3", "4"), {CI: 3}, at(2)) == {CI: 4}
    assert await waiting(queue, CI) == ["2", "3", "4"]
    assert (await queue.standings())[CI].queued == 3


async def test_what_waits_too_long_goes_and_what_came_at_that_moment_stays(
    queue: EventQueue,
) -> None:
    for second, name in enumerate("abc"):
        await enqueue(queue, CI, name, seconds=second)
        await enqueue(queue, AUDIT, name, seconds=second)
    assert await queue.expire(CI, at(0)) == 0
    assert await queue.expire(CI, at(1)) == 1
    assert await waiting(queue, CI) == ["b", "c"]
    assert await queue.expire(CI, at(100)) == 2
    assert await waiting(queue, CI) == []
    assert (await queue.standings())[AUDIT].queued == 3


async def test_a_clock_that_was_set_back_lets_nothing_young_go(queue: EventQueue) -> None:
    await enqueue(queue, CI, "late", seconds=1000)
    await enqueue(queue, CI, "early", seconds=0)
    assert await queue.expire(CI, at(500)) == 0
    assert await waiting(queue, CI) == ["late", "early"]


async def test_a_message_about_what_was_dropped_meanwhile_touches_nothing_newer(
    queue: EventQueue,
) -> None:
    await enqueue(queue, CI, "a", "b")
    under_way = await queue.take(CI, 2)
    await queue.expire(CI, at(100))
    await enqueue(queue, CI, "c")
    await queue.done(CI, under_way[-1].number)
    assert await waiting(queue, CI) == ["c"]


async def test_an_endpoint_is_forgotten_with_all_that_waits(queue: EventQueue) -> None:
    await enqueue(queue, CI, "a", "b")
    await enqueue(queue, AUDIT, "x")
    await queue.postpone(CI, 2, at(30))
    assert await queue.forget(CI) == 2
    assert await queue.standings() == {AUDIT: Standing(1, 0, None)}
    await enqueue(queue, CI, "new")
    assert await queue.standings() == {AUDIT: Standing(1, 0, None), CI: Standing(1, 0, None)}
