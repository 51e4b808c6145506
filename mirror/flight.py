"""One piece of work at a time per key, shared by everybody who asks meanwhile.

The one thing that use cases and adapters both build on, so it stands beside the layers.
"""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class FlightEnded(Exception):
    """The work was stopped before it had a result: its owner is closing."""


class SingleFlight(Generic[K, V]):
    """Every caller receives the same value or the same exception.

    The work belongs to nobody who waits: it goes on when they leave, and ends with ``close``, of
    which those who wait hear by what ``ended`` makes. Callers add context to an exception with
    ``raise … from``: the object is shared.
    """

    def __init__(self, ended: Callable[[], Exception] = FlightEnded) -> None:
        self._ended = ended
        self._flights: dict[K, asyncio.Task[V]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    async def run(self, key: K, work: Callable[[], Coroutine[Any, Any, V]]) -> V:
        flight = self.start(key, work)
        try:
            return await asyncio.shield(flight)
        except asyncio.CancelledError:
            if flight.cancelled() and not _is_being_cancelled():
                raise self._ended() from None
            raise

    def start(self, key: K, work: Callable[[], Coroutine[Any, Any, V]]) -> asyncio.Task[V]:
        """The work in flight, begun now unless it is already; nobody needs to wait for it."""
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = asyncio.create_task(work())
            flight.add_done_callback(lambda done: self._land(key, done))
        return flight

    async def close(self) -> None:
        """Cancel what is still under way and wait until it has ended."""
        flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)

    def _land(self, key: K, flight: asyncio.Task[V]) -> None:
        del self._flights[key]
        if not flight.cancelled():
            # Marks it as seen: those who waited have it, and if nobody did, nobody needs it.
            flight.exception()


def _is_being_cancelled() -> bool:
    current = asyncio.current_task()
    return current is not None and current.cancelling() > 0
