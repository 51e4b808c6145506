"""Endpoints of which tests say what they take, and queues that fail when they are told to."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from mirror.metadata.memory_events import MemoryEventQueue
from mirror.ports.events import Addressed, DeliveryFailed, Event, EventAction, Source
from mirror.ports.metadata import MetadataError
from mirror.registry.deliveries import Deliveries, DeliveryPorts, Endpoint
from mirror.registry.events import EventPorts, Events, Subscription
from mirror.registry.glob import Glob
from mirror.registry.statistics import Statistics
from tests.simulated_hub.bell import Bell
from tests.world import SettableClock

EVERYTHING = frozenset(EventAction)
SOURCE = Source("mirror.lan:5000", "one")
DAY = timedelta(days=1)


def subscription(
    endpoint: str,
    *repositories: str,
    actions: frozenset[EventAction] = EVERYTHING,
    capacity: int = 100,
) -> Subscription:
    globs = tuple(Glob(text) for text in repositories or ("**",))
    return Subscription(endpoint, actions, globs, capacity)


class TroubledQueue(MemoryEventQueue):
    """As ``MemoryEventQueue`` while ``is_full`` is false, and nothing is added while the ``gate``
    is shut. ``writes``: how many events each of them added.
    """

    def __init__(self) -> None:
        super().__init__()
        self.is_full = False
        self.writes: list[int] = []
        self.bell = Bell()
        self.gate = asyncio.Event()
        self.gate.set()

    async def enqueue(
        self, events: Sequence[Addressed], capacity: Mapping[str, int], queued_at: datetime
    ) -> Mapping[str, int]:
        await self.gate.wait()
        self._check()
        self.writes.append(len(events))
        dropped = await super().enqueue(events, capacity, queued_at)
        self.bell.ring()
        return dropped

    async def done(self, endpoint: str, through: int) -> None:
        self._check()
        await super().done(endpoint, through)

    async def postpone(self, endpoint: str, failures: int, retry_at: datetime) -> None:
        self._check()
        await super().postpone(endpoint, failures, retry_at)

    def _check(self) -> None:
        if self.is_full:
            raise MetadataError("the database is full")


@dataclass(slots=True)
class Listener:
    """Takes what it is sent unless there is trouble. ``messages`` are the ids of each attempt."""

    trouble: DeliveryFailed | None = None
    messages: list[list[str]] = field(default_factory=list)
    taken: list[Event] = field(default_factory=list)
    is_closed: bool = False
    bell: Bell = field(default_factory=Bell)

    async def deliver(self, events: Sequence[Event]) -> None:
        self.messages.append([event.id for event in events])
        if self.trouble is not None:
            raise self.trouble
        self.taken += events
        self.bell.ring()

    async def close(self) -> None:
        self.is_closed = True

    @property
    def ids(self) -> list[str]:
        return [event.id for event in self.taken]


@dataclass(slots=True)
class Office:
    """Events and their deliveries over one queue, which outlives both."""

    queue: TroubledQueue
    clock: SettableClock
    statistics: Statistics
    listeners: dict[str, Listener]
    deliveries: Deliveries
    events: Events

    def counted(self, event: str) -> dict[str, int]:
        """By endpoint."""
        samples = self.statistics.samples()
        return {each.upstream: each.value for each in samples if each.measure == event}

    async def waiting(self, endpoint: str) -> list[str]:
        return [queued.event.id for queued in await self.queue.take(endpoint, 10_000)]


async def open_office(
    *subscriptions: Subscription,
    queue: TroubledQueue | None = None,
    clock: SettableClock | None = None,
    give_up_after: timedelta = DAY,
) -> Office:
    """One listener for each subscription. Jitter is none."""
    queue, clock, statistics = queue or TroubledQueue(), clock or SettableClock(), Statistics()
    listeners = {each.endpoint: Listener() for each in subscriptions}
    endpoints = [Endpoint(name, each, give_up_after) for name, each in listeners.items()]
    deliveries = Deliveries(endpoints, DeliveryPorts(queue, clock, statistics, lambda: 1.0))
    await deliveries.start()
    ports = EventPorts(queue, clock, SOURCE, deliveries.arrived)
    events = Events(subscriptions, ports)
    return Office(queue, clock, statistics, listeners, deliveries, events)
