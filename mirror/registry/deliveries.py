"""Bringing what waits in the queues to the endpoints: when, how much at once, and when to give up.

At least once and in order, for each endpoint on its own: an event leaves its queue only after the
endpoint has taken it.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mirror.ports.clock import Clock
from mirror.ports.events import Courier, DeliveryFailed, EventQueue, QueuedEvent, Standing
from mirror.ports.metadata import MetadataError
from mirror.registry.statistics import Statistics

log = logging.getLogger(__name__)

MOST_AT_ONCE = 100
"""Events in one message."""

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 600.0
"""Seconds between two attempts, the first ones and the last ones."""

LONGEST_WISH = 3600.0
"""Seconds for which an endpoint may ask to be left alone."""

NEW = Standing(queued=0, failures=0, retry_at=None)

BETWEEN_LINES = 60.0
"""Seconds between two log lines about events that were dropped for want of room."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """``give_up_after``: while it takes nothing, events that wait longer are dropped."""

    name: str
    courier: Courier
    give_up_after: timedelta


@dataclass(frozen=True, slots=True)
class EndpointStatus:
    """``reason`` and ``retry_at`` say why it was last not reached and when that is tried again,
    ``None`` while all is well.
    """

    queued: int
    failures: int
    reason: str | None
    retry_at: datetime | None


@dataclass(frozen=True, slots=True)
class DeliveryPorts:
    """``random`` is between 0 and 1."""

    queue: EventQueue
    clock: Clock
    statistics: Statistics
    random: Callable[[], float]


def pause_after(failures: int, random: float, asked: float | None = None) -> float:
    """Seconds until the next attempt, after so many failures in a row.

    Longer each time, never at the same moment as others, and not before the endpoint ``asked``.
    """
    growing = min(FIRST_PAUSE * 2.0 ** min(failures - 1, 20), LONGEST_PAUSE)
    return max(growing * (1 + random) / 2, min(asked or 0.0, LONGEST_WISH))


class Delivery:
    """To one endpoint."""

    def __init__(self, endpoint: Endpoint, ports: DeliveryPorts, standing: Standing = NEW) -> None:
        self._endpoint = endpoint
        self._ports = ports
        self._queued = standing.queued
        self._failures = standing.failures
        self._reason: str | None = None
        self._due = self._due_at(standing.retry_at)
        self._most = MOST_AT_ONCE
        self._news = asyncio.Event()
        self._unsaid = 0
        self._silent_until = float("-inf")

    def status(self) -> EndpointStatus:
        wait = self._due - self._ports.clock.monotonic()
        retry_at = self._ports.clock.now() + timedelta(seconds=wait) if wait > 0 else None
        return EndpointStatus(self._queued, self._failures, self._reason, retry_at)

    def arrived(self, added: int, dropped: int) -> None:
        """So many events were queued, and so many of the oldest went for want of room."""
        self._queued += added - dropped
        if dropped:
            self._count_dropped(dropped)
            self._unsaid += dropped
            self._say_dropped()
        self._news.set()

    def missed(self, count: int) -> None:
        """So many events never came to be queued."""
        self._count_dropped(count)
        self._unsaid += count
        self._say_dropped()

    async def run(self) -> None:
        """Ends only when it is cancelled."""
        while True:
            # Before the look, lest news be lost that comes while it is taken.
            self._news.clear()
            wait = await self._attempted()
            try:
                async with asyncio.timeout(wait):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def step(self) -> float | None:
        """Deliver what is due. Seconds until the next step; ``None``: not before something comes.

        Raises MetadataError.
        """
        wait = self._due - self._ports.clock.monotonic()
        if wait > 0:
            return wait
        batch = await self._ports.queue.take(self._endpoint.name, self._most)
        if not batch:
            return None
        try:
            await self._endpoint.courier.deliver([queued.event for queued in batch])
        except DeliveryFailed as failure:
            return await self._failed(failure)
        await self._delivered(batch)
        return 0.0

    async def close(self) -> None:
        await self._endpoint.courier.close()

    async def _attempted(self) -> float | None:
        try:
            return await self.step()
        except MetadataError as error:
            log.warning("webhook %s: its queue is out of reach: %s", self._endpoint.name, error)
        except Exception:
            log.exception("webhook %s: delivering failed", self._endpoint.name)
        return LONGEST_PAUSE / 10

    async def _delivered(self, batch: Sequence[QueuedEvent]) -> None:
        if self._failures:
            log.info("webhook %s: reached again", self._endpoint.name)
        self._failures, self._reason = 0, None
        self._most = min(self._most * 2, MOST_AT_ONCE)
        await self._ports.queue.done(self._endpoint.name, batch[-1].number)
        self._queued = max(self._queued - len(batch), 0)
        self._ports.statistics.counted("webhook_delivered", self._endpoint.name, len(batch))

    async def _failed(self, failure: DeliveryFailed) -> float:
        name, now = self._endpoint.name, self._ports.clock.now()
        self._failures += 1
        self._reason = str(failure)
        # What one event makes fail shall not hold up those before it.
        self._most = max(self._most // 2, 1)
        pause = pause_after(self._failures, self._ports.random(), failure.retry_after)
        self._due = self._ports.clock.monotonic() + pause
        self._ports.statistics.counted("webhook_failed", name)
        await self._ports.queue.postpone(name, self._failures, now + timedelta(seconds=pause))
        await self._give_up(now - self._endpoint.give_up_after)
        log.warning(
            "webhook %s: attempt %d failed: %s; events waiting: %d; next attempt in %.1f s",
            *(name, self._failures, failure, self._queued, pause),
        )
        return pause

    async def _give_up(self, queued_before: datetime) -> None:
        dropped = await self._ports.queue.expire(self._endpoint.name, queued_before)
        if dropped:
            self._queued = max(self._queued - dropped, 0)
            self._count_dropped(dropped)
            log.warning(
                "webhook %s: dropped %d events that it did not take in %s",
                *(self._endpoint.name, dropped, self._endpoint.give_up_after),
            )

    def _count_dropped(self, count: int) -> None:
        self._ports.statistics.counted("webhook_dropped", self._endpoint.name, count)

    def _say_dropped(self) -> None:
        now = self._ports.clock.monotonic()
        if now >= self._silent_until:
            log.warning(
                "webhook %s: dropped %d events: more came than may wait for it",
                *(self._endpoint.name, self._unsaid),
            )
            self._unsaid, self._silent_until = 0, now + BETWEEN_LINES

    def _due_at(self, retry_at: datetime | None) -> float:
        """In monotonic time. A wall clock that was set wrong must not silence an endpoint."""
        clock = self._ports.clock
        wait = (retry_at - clock.now()).total_seconds() if retry_at else 0.0
        return clock.monotonic() + min(max(wait, 0.0), LONGEST_WISH)


class Deliveries:
    """To all endpoints, each on its own."""

    def __init__(self, endpoints: Sequence[Endpoint], ports: DeliveryPorts) -> None:
        self._ports = ports
        self._endpoints = endpoints
        self._deliveries: dict[str, Delivery] = {}

    async def start(self) -> None:
        """Take up where earlier runs ended, before anything is queued. Raises MetadataError."""
        standings = await self._ports.queue.standings()
        for each in self._endpoints:
            standing = standings.get(each.name, NEW)
            self._deliveries[each.name] = Delivery(each, self._ports, standing)
        for name in standings.keys() - self._deliveries.keys():
            dropped = await self._ports.queue.forget(name)
            log.warning("webhook %s is no longer configured: dropped %d events", name, dropped)

    def arrived(self, added: Mapping[str, int], dropped: Mapping[str, int]) -> None:
        """As ``mirror.registry.events.Arrived`` says."""
        for name in added.keys() | dropped.keys():
            delivery = self._deliveries[name]
            if name in added:
                delivery.arrived(added[name], dropped.get(name, 0))
            else:
                delivery.missed(dropped[name])

    @property
    def by_name(self) -> Mapping[str, Delivery]:
        return self._deliveries

    def statuses(self) -> Mapping[str, EndpointStatus]:
        return {name: each.status() for name, each in self._deliveries.items()}

    async def close(self) -> None:
        for delivery in self._deliveries.values():
            await delivery.close()
