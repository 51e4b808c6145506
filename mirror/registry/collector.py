"""When garbage is collected: on a schedule and on demand, one collection at a time."""

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from mirror.ports.blobs import StorageError
from mirror.ports.clock import Clock
from mirror.ports.metadata import MetadataError
from mirror.registry.collection import Collection, CollectionReport
from mirror.registry.statistics import Statistics

log = logging.getLogger(__name__)

SOON = timedelta(minutes=5)
"""After the start: a server that is restarted every day has to collect too."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """``first`` after the start, and ``every`` so often from then on. ``None``: on demand only."""

    every: timedelta | None
    first: timedelta = SOON


@dataclass(frozen=True, slots=True)
class PastCollection:
    """One that ended in this run of the server. ``failure`` says what broke it off, ``None`` that
    it came to its end; ``size`` in bytes, ``duration`` in seconds.
    """

    began_at: datetime
    duration: float
    count: int
    size: int
    failure: str | None


@dataclass(frozen=True, slots=True)
class CollectorStatus:
    """``last`` is ``None`` until one has ended since the start, ``next_at`` when none is planned.

    Dry runs are none of these.
    """

    every: timedelta | None
    grace: timedelta
    running: bool
    last: PastCollection | None
    next_at: datetime | None


class Collector:
    """Collects, and remembers the last time."""

    def __init__(
        self,
        collection: Collection,
        schedule: Schedule,
        clock: Clock,
        statistics: Statistics,
    ) -> None:
        self._collection = collection
        self._schedule = schedule
        self._clock = clock
        self._statistics = statistics
        self._alone = asyncio.Lock()
        self._running = False
        self._last: PastCollection | None = None
        self._next_at: datetime | None = None

    def status(self) -> CollectorStatus:
        return CollectorStatus(
            self._schedule.every,
            self._collection.grace,
            self._running,
            self._last,
            self._next_at,
        )

    async def collect(self, *, dry_run: bool) -> CollectionReport:
        """After the one that runs now, if any. Raises MetadataError or StorageError."""
        async with self._alone:
            if dry_run:
                return await self._collection.run(dry_run=True)
            self._running = True
            try:
                return await self._collect()
            finally:
                self._running = False

    async def keep_collected(self) -> None:
        """Ends only when it is cancelled, or at once when nothing is planned."""
        wait = self._schedule.first
        while self._schedule.every is not None:
            self._next_at = self._clock.now() + wait
            await asyncio.sleep(wait.total_seconds())
            await self._attempt()
            wait = self._schedule.every

    async def _attempt(self) -> None:
        """One that fails is told and tried again at the next time."""
        try:
            await self.collect(dry_run=False)
        except (MetadataError, StorageError) as error:
            log.warning("collecting garbage failed: %s", error)
        except Exception:
            log.exception("collecting garbage failed")

    async def _collect(self) -> CollectionReport:
        began_at, began = self._clock.now(), self._clock.monotonic()
        before = self._statistics.total("collected"), self._statistics.total("collected_bytes")
        failure: str | None = "it was broken off"
        try:
            report = await self._collection.run(dry_run=False)
            failure = None
        except Exception as error:
            failure = str(error)
            raise
        finally:
            self._last = PastCollection(
                began_at,
                self._clock.monotonic() - began,
                self._statistics.total("collected") - before[0],
                self._statistics.total("collected_bytes") - before[1],
                failure,
            )
            self._statistics.counted("collections" if failure is None else "failed_collections")
        log.info("collected %d blobs, %d bytes", report.count, report.freed)
        return report
