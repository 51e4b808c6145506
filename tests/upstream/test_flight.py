import asyncio

import pytest

from mirror.ports.upstream import UpstreamUnreachable
from mirror.upstream.flight import Flights


class Work:
    def __init__(self) -> None:
        self.begun = 0
        self.go_on = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self) -> int:
        self.begun += 1
        await self.go_on.wait()
        if self.error is not None:
            raise self.error
        return self.begun


async def test_everyone_gets_the_same_and_the_next_one_something_new() -> None:
    flights, work = Flights[str, int](), Work()
    waiting = [asyncio.create_task(flights.run("a", work)) for _ in range(10)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    work.go_on.set()
    assert await asyncio.gather(*waiting[1:]) == [1] * 9
    assert waiting[0].cancelled()
    assert await flights.run("a", work) == 2


async def test_everyone_gets_the_same_error() -> None:
    flights, work = Flights[str, int](), Work()
    work.error = ValueError("no")
    work.go_on.set()
    results = await asyncio.gather(
        *(flights.run("a", work) for _ in range(3)), return_exceptions=True
    )
    assert results == [work.error] * 3
    assert work.begun == 1


async def test_what_differs_flies_apart() -> None:
    flights, work = Flights[str, int](), Work()
    work.go_on.set()
    await asyncio.gather(flights.run("a", work), flights.run("b", work))
    assert work.begun == 2


async def test_the_work_goes_on_when_nobody_waits() -> None:
    flights, work = Flights[str, int](), Work()
    only = asyncio.create_task(flights.run("a", work))
    await asyncio.sleep(0)
    only.cancel()
    await asyncio.wait([only])
    task = flights.start("a", work)
    work.go_on.set()
    assert await task == 1


async def test_closing_is_an_error_for_those_who_wait_not_a_cancellation() -> None:
    flights, work = Flights[str, int](), Work()
    waiting = asyncio.create_task(flights.run("a", work))
    await asyncio.sleep(0)
    await flights.close()
    with pytest.raises(UpstreamUnreachable):
        await waiting


async def test_an_error_that_nobody_waited_for_is_no_noise() -> None:
    flights, work = Flights[str, int](), Work()
    work.error = ValueError("no")
    work.go_on.set()
    task = flights.start("a", work)
    await asyncio.wait([task])
    del task
