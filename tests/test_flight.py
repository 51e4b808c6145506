"""One piece of work for everybody who wants the same."""

import asyncio

import pytest

from mirror.flight import FlightEnded, SingleFlight


class Work:
    """Counts how often it is begun, and ends when the test says so."""

    def __init__(self) -> None:
        self.begun = 0
        self.is_begun = asyncio.Event()
        self.ended_by: list[str] = []
        self.result: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def __call__(self) -> int:
        self.begun += 1
        self.is_begun.set()
        try:
            value = await asyncio.shield(self.result)
        except asyncio.CancelledError:
            self.ended_by.append("cancellation")
            raise
        self.ended_by.append("itself")
        return value


async def start(flight: SingleFlight[str, int], work: Work, count: int) -> list[asyncio.Task[int]]:
    tasks = [asyncio.create_task(flight.run("key", work)) for _ in range(count)]
    await work.is_begun.wait()
    return tasks


async def test_everybody_gets_the_same_value_of_work_that_is_done_once() -> None:
    flight, work = SingleFlight[str, int](), Work()
    tasks = await start(flight, work, 100)
    work.result.set_result(7)
    assert await asyncio.gather(*tasks) == [7] * 100
    assert work.begun == 1


async def test_everybody_gets_the_same_exception() -> None:
    flight, work = SingleFlight[str, int](), Work()
    tasks = await start(flight, work, 100)
    error = ValueError("no")
    work.result.set_exception(error)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert {id(result) for result in results} == {id(error)}
    assert work.begun == 1


async def test_a_caller_that_leaves_takes_the_work_from_nobody() -> None:
    flight, work = SingleFlight[str, int](), Work()
    first, second = await start(flight, work, 2)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    work.result.set_result(7)
    assert await second == 7
    assert work.begun == 1


async def test_the_work_goes_on_when_everybody_has_left() -> None:
    flight, work = SingleFlight[str, int](), Work()
    (only,) = await start(flight, work, 1)
    only.cancel()
    await asyncio.wait({only})
    assert len(flight) == 1
    joined = asyncio.create_task(flight.run("key", work))
    await asyncio.sleep(0)
    work.result.set_result(7)
    assert await joined == 7
    assert (work.begun, work.ended_by) == (1, ["itself"])


async def test_a_failure_that_nobody_waits_for_is_no_leak() -> None:
    flight, work = SingleFlight[str, int](), Work()
    (only,) = await start(flight, work, 1)
    only.cancel()
    work.result.set_exception(ValueError("nobody hears this"))
    await asyncio.wait({only})
    await flight.close()
    assert len(flight) == 0


async def test_the_next_call_after_the_landing_begins_anew() -> None:
    flight, first, second = SingleFlight[str, int](), Work(), Work()
    (task,) = await start(flight, first, 1)
    first.result.set_result(1)
    assert await task == 1
    assert len(flight) == 0
    second.result.set_result(2)
    assert await flight.run("key", second) == 2


async def test_the_next_call_after_a_failure_begins_anew() -> None:
    flight, first, second = SingleFlight[str, int](), Work(), Work()
    (task,) = await start(flight, first, 1)
    first.result.set_exception(ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        await task
    second.result.set_result(2)
    assert await flight.run("key", second) == 2


async def test_other_keys_fly_on_their_own() -> None:
    flight, first, second = SingleFlight[str, int](), Work(), Work()
    tasks = [
        asyncio.create_task(flight.run("one", first)),
        asyncio.create_task(flight.run("two", second)),
    ]
    await asyncio.sleep(0)
    first.result.set_result(1)
    second.result.set_result(2)
    assert await asyncio.gather(*tasks) == [1, 2]


async def test_closing_cancels_the_work_and_waits_for_its_end() -> None:
    flight, work = SingleFlight[str, int](), Work()
    (task,) = await start(flight, work, 1)
    await flight.close()
    assert work.ended_by == ["cancellation"]
    assert len(flight) == 0
    with pytest.raises(FlightEnded):
        await task


async def test_who_closes_says_what_those_who_wait_hear() -> None:
    flight, work = SingleFlight[str, int](lambda: ValueError("gone")), Work()
    (task,) = await start(flight, work, 1)
    await flight.close()
    with pytest.raises(ValueError, match="gone"):
        await task


async def test_closing_when_nothing_flies_is_nothing() -> None:
    await SingleFlight[str, int]().close()
