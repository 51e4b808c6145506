"""From what happened to the queues of those who want to hear of it.

A change is answered only once its events are queued. Pulls are gathered in memory and queued about
every second, so that no pull waits; a crash loses at most those.
"""

import asyncio
import itertools
import logging
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cachetools import LRUCache

from mirror.ports.clock import Clock
from mirror.ports.events import Addressed, Asker, Event, EventAction, EventQueue, Source
from mirror.ports.metadata import MetadataError
from mirror.ports.repository import Repository
from mirror.registry.glob import Glob
from mirror.registry.happenings import Happening, Move, tag_moved

log = logging.getLogger(__name__)

BETWEEN_FLUSHES = 1.0
"""Seconds for which pulls are gathered."""

MOST_GATHERED = 5_000
"""Pulls, for all endpoints together; more than come in a second on a machine of today."""

PORTION = 200
"""Events written at once: between two portions the event loop serves others."""

MOST_REMEMBERED = 4096

_MOVES = uuid.UUID("5e0f4f0b-6f0a-5a53-9d0c-6a1f0f6f7d11")


@dataclass(frozen=True, slots=True)
class Subscription:
    """What an endpoint wants to hear of, and how many events may wait for it.

    Repositories are matched as the server shows them: ``docker.io/library/nginx``, and without an
    upstream in front what is hosted.
    """

    endpoint: str
    actions: frozenset[EventAction]
    repositories: tuple[Glob, ...]
    capacity: int

    def wants(self, action: EventAction, repository: Repository) -> bool:
        return action in self.actions and any(
            glob.matches(str(repository)) for glob in self.repositories
        )


Arrived = Callable[[Mapping[str, int], Mapping[str, int]], None]
"""Told how many events were queued, and how many older ones went for want of room, by endpoint."""


@dataclass(frozen=True, slots=True)
class EventPorts:
    queue: EventQueue
    clock: Clock
    source: Source
    arrived: Arrived


class Events:
    """For those who subscribed."""

    def __init__(self, subscriptions: Sequence[Subscription], ports: EventPorts) -> None:
        self._subscriptions = subscriptions
        self._ports = ports
        self._capacity = {each.endpoint: each.capacity for each in subscriptions}
        self._wanted: LRUCache[tuple[EventAction, Repository], tuple[str, ...]] = LRUCache(
            MOST_REMEMBERED
        )
        self._gathered: dict[int, Addressed] = {}
        self._numbers = itertools.count()
        self._missed: Counter[str] = Counter()
        self._turn = asyncio.Lock()
        self.gathers = any(EventAction.PULL in each.actions for each in subscriptions)
        """Whether anybody wants to hear of pulls."""

    async def announce(self, happenings: Sequence[Happening], asker: Asker | None) -> None:
        """Returns once all who want to hear of it certainly will. Raises MetadataError."""
        now = self._ports.clock.now()
        events = [
            Addressed(
                endpoint, Event(str(uuid.uuid4()), now, it.action, it.target, asker, self._source)
            )
            for it in happenings
            for endpoint in self._wanting(it.action, it.target.repository)
        ]
        if events:
            await self._queue(events)

    async def moved(self, move: Move) -> None:
        """As ``announce``. The same move has the same id, also when it is found again later."""
        endpoints = self._wanting(EventAction.MOVED, move.repository)
        if not endpoints:
            return
        it = tag_moved(move)
        event = Event(
            _id_of(move), self._ports.clock.now(), it.action, it.target, None, self._source
        )
        await self._queue([Addressed(endpoint, event) for endpoint in endpoints])

    def wants_pulls(self, repository: Repository) -> bool:
        return self.gathers and bool(self._wanting(EventAction.PULL, repository))

    def pulled(self, happening: Happening, asker: Asker) -> None:
        """Never waits."""
        endpoints = self._wanting(EventAction.PULL, happening.target.repository)
        if len(self._gathered) + len(endpoints) > MOST_GATHERED:
            self._missed.update(endpoints)
            return
        event = Event(
            str(uuid.uuid4()),
            self._ports.clock.now(),
            happening.action,
            happening.target,
            asker,
            self._source,
        )
        self._gather([Addressed(endpoint, event) for endpoint in endpoints])

    @property
    def gathered(self) -> Sequence[Addressed]:
        """What a crash would lose."""
        return list(self._gathered.values())

    async def flush(self) -> None:
        """Queue the pulls gathered so far. Nothing is lost when it fails. Raises MetadataError."""
        await self._queue([])

    async def keep_flushing(self, pause: float = BETWEEN_FLUSHES) -> None:
        """``pause`` in seconds. Ends only when it is cancelled."""
        while True:
            await asyncio.sleep(pause)
            await self.flush_or_tell()

    async def flush_or_tell(self) -> None:
        try:
            await self.flush()
        except MetadataError as error:
            log.warning("pulls wait to be queued for webhooks: %s", error)

    @property
    def _source(self) -> Source:
        return self._ports.source

    def _wanting(self, action: EventAction, repository: Repository) -> tuple[str, ...]:
        key = (action, repository)
        endpoints = self._wanted.get(key)
        if endpoints is None:
            wanting = (each for each in self._subscriptions if each.wants(*key))
            endpoints = self._wanted[key] = tuple(each.endpoint for each in wanting)
        return endpoints

    async def _queue(self, events: Sequence[Addressed]) -> None:
        """Behind what came before. Whoever waits meanwhile shares the next write."""
        own = self._gather(events)
        last = next(reversed(self._gathered), None)
        try:
            async with self._turn:
                self._tell_missed()
                while last in self._gathered:
                    await self._write()
        except BaseException:
            # Whoever hears of a failure does not count on them.
            for number in own:
                self._gathered.pop(number, None)
            raise

    def _gather(self, events: Sequence[Addressed]) -> Sequence[int]:
        """Their numbers, which are greater than all before them."""
        own = [next(self._numbers) for _ in events]
        self._gathered.update(zip(own, events, strict=True))
        return own

    async def _write(self) -> None:
        """The oldest, which are forgotten once they are written."""
        portion = dict(itertools.islice(self._gathered.items(), PORTION))
        events = list(portion.values())
        dropped = await self._ports.queue.enqueue(events, self._capacity, self._ports.clock.now())
        for number in portion:
            self._gathered.pop(number, None)
        self._ports.arrived(Counter(each.endpoint for each in events), dropped)

    def _tell_missed(self) -> None:
        if self._missed:
            missed, self._missed = self._missed, Counter()
            self._ports.arrived({}, missed)


def _id_of(move: Move) -> str:
    before = move.before
    text = (
        f"{move.repository}:{move.tag} {before.descriptor.digest}"
        f" {before.confirmed_at.isoformat()} {move.now.digest}"
    )
    return str(uuid.uuid5(_MOVES, text))
