"""Lists that upstreams gave lately, in memory: fresh for a minute, and then still there for when
the upstream is away.
"""

import asyncio
import functools
import math
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar

from cachetools import LRUCache

from mirror.flight import SingleFlight
from mirror.ports.clock import Clock
from mirror.ports.upstream import UpstreamError
from mirror.registry.age import ago
from mirror.registry.answer import Handling
from mirror.registry.proxied import stopping
from mirror.registry.statistics import Result

LIFETIME = 60.0
"""Seconds for which a list is served without asking; also that there is none."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class _Held(Generic[V]):
    """``size`` in whatever unit the room has; ``confirmed_at`` in monotonic time."""

    value: V | None
    size: int
    confirmed_at: float


@dataclass(frozen=True, slots=True)
class Lately(Generic[V]):
    """What the upstream says, or lately said: None, that it has no such list."""

    value: V | None
    handling: Handling


class RecentLists(Generic[K, V]):
    """At most ``room`` of them together, each as large as ``measure`` says and one more."""

    def __init__(
        self, clock: Clock, stale_after: timedelta, room: int, measure: Callable[[V], int]
    ) -> None:
        self._clock = clock
        self._stale_after = stale_after.total_seconds()
        self._measure = measure
        self._held: LRUCache[K, _Held[V]] = LRUCache(room, getsizeof=lambda held: held.size)
        self._flights: SingleFlight[K, V | None] = SingleFlight(stopping)

    async def get(self, key: K, ask: Callable[[], Coroutine[Any, Any, V | None]]) -> Lately[V]:
        """One question to the upstream however many wait. Raises UpstreamError where nothing is
        held; what is held does not wait long for a slow upstream.
        """
        held = self._held.get(key)
        if held is not None and (age := self._age(held)) < LIFETIME:
            return Lately(held.value, Handling(Result.HIT, ttl=math.ceil(LIFETIME - age)))
        work = functools.partial(self._bring, key, ask)
        if held is None or held.value is None:
            return _brought(await self._flights.run(key, work))
        try:
            async with asyncio.timeout(self._stale_after):
                return _brought(await self._flights.run(key, work))
        except TimeoutError:
            return self._stale(held, "the upstream is slow")
        except UpstreamError as error:
            return self._stale(held, str(error))

    async def close(self) -> None:
        await self._flights.close()

    async def _bring(self, key: K, ask: Callable[[], Coroutine[Any, Any, V | None]]) -> V | None:
        value = await ask()
        size = 1 if value is None else 1 + self._measure(value)
        self._held.pop(key, None)
        if size <= self._held.maxsize:
            self._held[key] = _Held(value, size, self._clock.monotonic())
        return value

    def _age(self, held: _Held[V]) -> float:
        return self._clock.monotonic() - held.confirmed_at

    def _stale(self, held: _Held[V], reason: str) -> Lately[V]:
        age = ago(timedelta(seconds=self._age(held)))
        detail = f"{reason}; this copy was confirmed {age} ago"
        return Lately(held.value, Handling(Result.STALE, detail=detail))


def _brought(value: V | None) -> Lately[V]:
    return Lately(value, Handling(Result.MISS, ttl=int(LIFETIME)))
