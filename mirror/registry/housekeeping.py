"""What the server does by itself: keeps within its limits, writes what it counted, cleans up."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from mirror.oci.digest import Digest
from mirror.ports.blobs import BlobStore, StorageError, StorageFull
from mirror.ports.clock import Clock
from mirror.ports.metadata import BlobLinks, Inventory, MetadataError, UsageStore
from mirror.registry.custody import Custody
from mirror.registry.eviction import Eviction, EvictionReport
from mirror.registry.room import FreeSpace, Limits, Shortage, shortage
from mirror.registry.shared_ingest import FILLS
from mirror.registry.statistics import Statistics
from mirror.registry.usage import Usage

log = logging.getLogger(__name__)

ABANDONED = timedelta(days=2)
"""An unfinished download that nobody resumed for this long is removed."""

UNRECORDED = timedelta(hours=1)
"""A file without a row is younger than this while it is being recorded."""

HOPELESS = 30.0
"""Seconds for which nobody asks for an eviction, after one that could not free enough."""

SHARDS = 256


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between rounds of the same work.

    ``flush`` writes uses and counters: what a crash may lose of them. ``check`` looks at the
    limits, when nothing asks for that. ``sweep`` looks for files that nothing knows of; one is
    taken soon after the start.
    """

    flush: float = 5.0
    check: float = 30.0
    sweep: float = 6 * 3600.0


Sweep = Callable[[], Awaitable[int]]
"""Removes what nobody will come back for; how many bytes that freed."""


class Records(BlobLinks, Inventory, UsageStore, Protocol):
    """What housekeeping reads and writes."""


@dataclass(frozen=True, slots=True)
class HousekeepingPorts:
    store: BlobStore
    records: Records
    custody: Custody
    clock: Clock
    statistics: Statistics
    usage: Usage
    limits: Limits


class Housekeeping:
    """Knows how much is stored. ``evict_with`` is called once, before anything else."""

    def __init__(self, ports: HousekeepingPorts, pace: Pace | None = None) -> None:
        self._ports = ports
        self._pace = pace or Pace()
        self._used = 0
        self._free = FreeSpace(ports.store, ports.clock)
        self._wanted = asyncio.Event()
        self._evicting = asyncio.Lock()
        self._flushing = asyncio.Lock()
        self._counting = asyncio.Lock()
        self._hopeless_until = float("-inf")
        self._eviction: Eviction | None = None
        self._sweeps: list[Sweep] = []
        self._has_told_of_strays = False

    def evict_with(self, eviction: Eviction) -> None:
        self._eviction = eviction

    def sweep_with(self, sweep: Sweep) -> None:
        """Have something more removed whenever what a crash left is."""
        self._sweeps.append(sweep)

    async def start(self) -> None:
        """Take up the counters of earlier runs."""
        await self._ports.statistics.load(self._ports.records)

    async def flush(self) -> None:
        """Write uses and counters, also those that another flush has begun to write.

        Cancelled, it ends only after it is known what was written: a counter that is written twice
        counts double.
        """
        writing = asyncio.ensure_future(self._flush())
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.wait({writing})
            if not writing.cancelled():
                writing.exception()  # nobody is left to take it
            raise

    async def _flush(self) -> None:
        async with self._flushing:
            await self._ports.usage.flush(self._ports.records)
            await self._ports.statistics.flush(self._ports.records)

    # Room.

    def added(self, size: int) -> None:
        """``size`` bytes were stored."""
        self._used += size
        self._want()

    def removed(self, size: int) -> None:
        """``size`` bytes were deleted."""
        self._used = max(self._used - size, 0)
        self._free.freed(size)

    def collected(self, size: int) -> None:
        """``size`` bytes were deleted, few of which counted: they had been pushed here."""
        self._free.freed(size)

    async def make_room(self, size: int) -> None:
        """Let ``size`` more bytes be stored. Raises StorageFull when there is no room for them.

        A download waits for an eviction only where the file system has no room; being above
        ``max_size`` for a while is mended behind it.
        """
        if size > self._ports.limits.max_size:
            raise StorageFull(f"{size} bytes are more than cache.max_size")
        await self.make_room_for_push(size)

    async def make_room_for_push(self, size: int) -> None:
        """The same for what is pushed here, of which ``max_size`` knows nothing."""
        short = self._shortage(size)
        if short is not None and short.urgent:
            await self._wait_for_room(size, short)
        self._free.promised(size)

    async def _wait_for_room(self, size: int, short: Shortage) -> None:
        # Before the lock and after it: who waits for an eviction that fails begins no other one.
        self._refuse_if_hopeless(short)
        async with self._evicting:
            # An eviction that somebody else waited for may have made enough room.
            again = self._shortage(size)
            if again is None or not again.urgent:
                return
            self._refuse_if_hopeless(again)
            try:
                freed = await self._free_urgently(again)
            except MetadataError as error:
                raise StorageFull(f"{again.reason}, and nothing can be evicted: {error}") from error
        if freed < again.needed:
            raise StorageFull(again.reason)

    async def _free_urgently(self, short: Shortage) -> int:
        """In bytes. Nothing goes for the sake of what would not fit with everything gone."""
        await self._count()
        if short.needed > self._used:
            return 0
        return (await self._run(short, dry_run=False)).freed

    async def evict(self, *, dry_run: bool) -> EvictionReport:
        """Go down to the low watermark if above the high one, on demand."""
        async with self._evicting:
            await self._count()
            short = self._shortage(0) or Shortage(0, "nothing is above its limits", urgent=False)
            return await self._run(short, dry_run=dry_run)

    async def _run(self, short: Shortage, *, dry_run: bool) -> EvictionReport:
        """To be called under the lock."""
        if self._eviction is None:
            raise StorageFull("eviction has not been set up")
        report = await self._eviction.run(short.needed, short.reason, dry_run=dry_run)
        if not dry_run and report.freed < short.needed:
            self._hopeless_until = self._ports.clock.monotonic() + HOPELESS
        return report

    def _is_hopeless(self) -> bool:
        return self._ports.clock.monotonic() < self._hopeless_until

    def _refuse_if_hopeless(self, short: Shortage) -> None:
        if self._is_hopeless():
            raise StorageFull(short.reason)

    def _want(self) -> None:
        """Have a look at the limits soon."""
        if not self._is_hopeless():
            self._wanted.set()

    def _shortage(self, extra: int) -> Shortage | None:
        return shortage(self._used, extra, self._free.space(), self._ports.limits)

    # The loops. Each ends only when it is cancelled.

    async def keep_counts(self) -> None:
        while True:
            await asyncio.sleep(self._pace.flush)
            await _attempt("writing uses and counters", self.flush)

    async def keep_limits(self) -> None:
        await _attempt("adding up what is stored", self._count)
        while True:
            # Before the look, lest a wish be lost that comes while it is taken.
            self._wanted.clear()
            await _attempt("evicting", self._check)
            try:
                async with asyncio.timeout(self._pace.check):
                    await self._wanted.wait()
            except TimeoutError:
                continue

    async def keep_clean(self) -> None:
        while True:
            await _attempt("removing abandoned files", self.sweep)
            await _attempt("adding up what is stored", self._count)
            await asyncio.sleep(self._pace.sweep)

    async def _count(self) -> None:
        """What eviction could have, from the records: the running sum knows nothing of manifests,
        damage, files that were found, and what hosted repositories took over or left. What came
        or went while it is taken is added to it.
        """
        async with self._counting:
            before = self._used
            totals = await self._ports.records.totals()
            self._used = max(totals.bytes - totals.hosted_bytes + self._used - before, 0)

    async def _check(self) -> None:
        if self._shortage(0) is None:
            return
        async with self._evicting:
            await self._count()
            short = self._shortage(0)
            if short is not None:
                await self._run(short, dry_run=False)

    async def sweep(self) -> int:
        """Remove what a crash left: old unfinished downloads and files without a row. In bytes."""
        now = self._ports.clock.now()
        freed = await self._ports.store.sweep_ingests(now - ABANDONED, FILLS)
        for sweep in self._sweeps:
            freed += await sweep()
        if await self._is_mostly_recorded(now - UNRECORDED):
            freed += await self._sweep_blobs(now - UNRECORDED)
        return freed

    async def _sweep_blobs(self, older_than: datetime) -> int:
        freed = 0
        for shard in range(SHARDS):
            for digest, size, arrived_at in await self._ports.store.list_blobs(shard):
                if arrived_at < older_than and await self._forget(digest):
                    freed += size
        return freed

    async def _is_mostly_recorded(self, older_than: datetime) -> bool:
        """Whether most of these files have a row. A crash leaves few without one; they are many
        beside metadata that is new, or older than they are, and then they must not go: what was
        pushed is nowhere else.
        """
        recorded = (await self._ports.records.totals()).blobs
        files = 0
        for shard in range(SHARDS):
            listed = await self._ports.store.list_blobs(shard)
            files += sum(arrived_at < older_than for _, _, arrived_at in listed)
        unrecorded = max(files - recorded, 0)
        is_most = unrecorded <= recorded
        if not is_most and not self._has_told_of_strays:
            log.warning(
                "%d files in the data folder's blobs are recorded nowhere, %d are: metadata.db may"
                " have been lost, so none of them is removed; stop the server and restore"
                " metadata.db, or remove the folder blobs if nothing in it is worth keeping",
                unrecorded,
                recorded,
            )
        self._has_told_of_strays = not is_most
        return is_most

    async def _forget(self, digest: Digest) -> bool:
        with self._ports.custody.leaving([digest]) as free:
            if not free or await self._ports.records.get_stored(digest) is not None:
                return False
            log.info("removing %s, which nothing records", digest)
            return await self._ports.store.delete(digest)


async def _attempt(what: str, work: Callable[[], Awaitable[object]]) -> None:
    """A round that fails is told and tried again at the next one."""
    try:
        await work()
    except (MetadataError, StorageError) as error:
        log.warning("%s failed: %s", what, error)
    except Exception:
        log.exception("%s failed", what)
