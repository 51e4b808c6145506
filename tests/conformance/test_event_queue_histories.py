"""Whatever happens to queues, in SQL they are what they are in memory."""

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from mirror.ports.events import EventQueue, Standing
from tests.conformance.events import AUDIT, CI, open_memory, open_sql, to, waiting
from tests.conformance.metadata import at

ENDPOINTS = st.sampled_from([CI, AUDIT])
NUMBERS = st.integers(0, 12)
STEPS = st.one_of(
    st.tuples(st.just("enqueue"), ENDPOINTS, st.integers(1, 5)),
    st.tuples(st.sampled_from(["done", "postpone", "expire", "forget"]), ENDPOINTS, NUMBERS),
)

State = tuple[object, Mapping[str, Standing], Sequence[str], Sequence[str]]


async def take_step(
    queue: EventQueue, number: int, step: tuple[str, str, int], capacity: Mapping[str, int]
) -> object:
    kind, endpoint, amount = step
    match kind:
        case "enqueue":
            names = [f"{number}.{each}" for each in range(amount)]
            return await queue.enqueue(to(endpoint, *names), capacity, at(number))
        case "done":
            await queue.done(endpoint, amount)
        case "postpone":
            await queue.postpone(endpoint, amount, at(amount))
        case "expire":
            return await queue.expire(endpoint, at(amount))
        case "forget":
            return await queue.forget(endpoint)
    return None


async def history(
    queue: EventQueue, steps: Sequence[tuple[str, str, int]], capacity: int
) -> list[State]:
    states: list[State] = []
    for number, step in enumerate(steps):
        answer = await take_step(queue, number, step, {CI: capacity, AUDIT: 100})
        standings = await queue.standings()
        waits = await waiting(queue, CI), await waiting(queue, AUDIT)
        assert {CI: len(waits[0]), AUDIT: len(waits[1])} == {
            endpoint: standings[endpoint].queued if endpoint in standings else 0
            for endpoint in (CI, AUDIT)
        }
        states.append((answer, standings, *waits))
    return states


async def compare(steps: Sequence[tuple[str, str, int]], capacity: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with open_memory(Path(folder)) as memory, open_sql(Path(folder)) as sql:
            assert await history(sql, steps, capacity) == await history(memory, steps, capacity)


@settings(max_examples=40, deadline=None)
@given(st.lists(STEPS, max_size=15), st.integers(1, 6))
def test_sql_does_as_memory_does(steps: list[tuple[str, str, int]], capacity: int) -> None:
    asyncio.run(compare(steps, capacity))
