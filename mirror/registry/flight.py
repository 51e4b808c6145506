"""One piece of work at a time per key, shared by everybody who asks meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SingleFlight(Generic[K, V]):
    """Every caller receives the same value or the same exception.

    A caller that goes away does not cancel the work the others wait for. Callers add context with
    ``raise … from``: the exception object is shared.
    """

    def __init__(self) -> None:
        self._flights: dict[K, asyncio.Future[V]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    async def run(self, key: K, work: Callable[[], Awaitable[V]]) -> V:
        return await asyncio.shield(self.begin(key, work))

    def begin(self, key: K, work: Callable[[], Awaitable[V]]) -> asyncio.Future[V]:
        """Join the flight of this key or start it. Never cancel what is returned: shield it."""
        flight = self._flights.get(key)
        if flight is None:
            flight = asyncio.ensure_future(_awaited(work))
            self._flights[key] = flight
            flight.add_done_callback(lambda done: self._land(key, done))
        return flight

    async def close(self) -> None:
        """Cancel what is still under way and wait until it has ended."""
        flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)

    def _land(self, key: K, flight: asyncio.Future[V]) -> None:
        del self._flights[key]
        if not flight.cancelled():
            # Everybody may have gone: a failure nobody waited for is not a leak.
            flight.exception()


async def _awaited(work: Callable[[], Awaitable[V]]) -> V:
    return await work()
