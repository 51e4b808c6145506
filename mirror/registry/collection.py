"""Garbage collection while serving: what was pushed and is not needed any more goes after a while.

No push waits for it. Whoever was told that a blob is here has as long as the grace period to push
the manifest that needs it; whether nobody did is looked at again inside the transaction that
deletes. What a proxied repository links is eviction's business, and manifests go only when somebody
deletes them.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Protocol

from mirror.oci.digest import Digest
from mirror.ports.blobs import BlobStore
from mirror.ports.clock import Clock
from mirror.ports.hosting import CollectionStore, DeadBlob, LinkCursor
from mirror.ports.metadata import BlobRecord
from mirror.ports.repository import Repository
from mirror.registry.custody import Custody
from mirror.registry.leaps import Leaps
from mirror.registry.statistics import Statistics

log = logging.getLogger(__name__)

_END_OF_TIME = datetime.max.replace(tzinfo=UTC)


class Reason(Enum):
    """Why a blob is dead."""

    UNNEEDED = "no manifest needs it"
    UNLINKED = "it was deleted from every repository"


class Stay(Enum):
    """Why a blob that nothing needs was kept."""

    YOUNG = "it was pushed, linked, asked for or used within the grace period"
    BUSY = "it was stored or deleted by somebody else at the same time"
    WANTED = "it was used or needed again when it was about to go"


class CollectionFacts(CollectionStore, Protocol):
    """What is read and removed here."""

    async def list_owners(self, digest: Digest, limit: int) -> Sequence[Repository]:
        """Repositories that link a stored blob."""


@dataclass(frozen=True, slots=True)
class CollectionPorts:
    """What the use case works with. ``flush`` writes pending uses, ``is_used`` knows of those that
    came since; ``freed`` is told the bytes that went.
    """

    facts: CollectionFacts
    store: BlobStore
    custody: Custody
    clock: Clock
    statistics: Statistics
    flush: Callable[[], Awaitable[None]]
    is_used: Callable[[Digest], bool]
    freed: Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much at a time: a ``page`` of blobs is one transaction. A report names ``named``."""

    page: int = 500
    named: int = 1000


@dataclass(frozen=True, slots=True)
class Collected:
    """A blob that went. ``idle_since`` is when it was last pushed, linked, asked for or used."""

    blob: BlobRecord
    reason: Reason
    idle_since: datetime


@dataclass(frozen=True, slots=True)
class Tally:
    """How many blobs, of how many bytes."""

    count: int = 0
    size: int = 0

    def plus(self, size: int) -> "Tally":
        return Tally(self.count + 1, self.size + size)


@dataclass(frozen=True, slots=True)
class Protected:
    """When the first and the last of the blobs that are too young may go."""

    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class CollectionReport:
    """What a collection did, or would do.

    ``blobs`` are the first of all that went, which ``went`` counts by reason and ``kept`` those
    that nothing needs and that stayed. Of ``went``, the files of ``undeleted`` are still on disk,
    until they are swept. ``links`` is how many dead links of hosted repositories went, which is
    not known beforehand. ``duration`` in seconds.
    """

    began_at: datetime
    duration: float
    grace: timedelta
    blobs: tuple[Collected, ...]
    went: tuple[tuple[Reason, Tally], ...]
    kept: tuple[tuple[Stay, Tally], ...]
    protected: Protected | None
    undeleted: Tally
    links: int | None
    dry_run: bool

    @property
    def count(self) -> int:
        return sum(tally.count for _, tally in self.went) - self.undeleted.count

    @property
    def freed(self) -> int:
        """In bytes."""
        return sum(tally.size for _, tally in self.went) - self.undeleted.size


class Collection:
    """One pass at a time; the caller sees to that."""

    def __init__(
        self, ports: CollectionPorts, grace: timedelta, amounts: Amounts | None = None
    ) -> None:
        self._ports = ports
        self._grace = grace
        self._amounts = amounts or Amounts()
        self._leaps = Leaps(ports.clock, grace)

    @property
    def grace(self) -> timedelta:
        return self._grace

    async def run(self, *, dry_run: bool) -> CollectionReport:
        """Raises MetadataError, and StorageError; what went until then is gone."""
        clock = self._ports.clock
        began_at, began = clock.now(), clock.monotonic()
        # Where the clock was set forward lately, what is young looks old.
        wait = self._grace + self._leaps.forward()
        sums = _Sums(began_at - wait, self._amounts.named)
        await self._ports.flush()
        async for page in self._pages():
            ripe = [dead for dead in page if not sums.is_young(dead)]
            found = await self._explain(ripe)
            if dry_run:
                sums.add(found)
            else:
                await self._collect(found, sums)
        links = None if dry_run else await self._collect_links(sums.unless_after)
        return CollectionReport(
            began_at=began_at,
            duration=clock.monotonic() - began,
            grace=self._grace,
            blobs=tuple(sums.named),
            went=tuple((reason, sums.went[reason]) for reason in Reason if reason in sums.went),
            kept=tuple((stay, sums.kept[stay]) for stay in Stay if stay in sums.kept),
            protected=sums.protected(wait),
            undeleted=sums.undeleted,
            links=links,
            dry_run=dry_run,
        )

    async def _pages(self) -> AsyncIterator[Sequence[DeadBlob]]:
        """What nothing needs, however young."""
        after: Digest | None = None
        limit = self._amounts.page
        while True:
            page = await self._ports.facts.list_dead_blobs(_END_OF_TIME, after, limit)
            yield page
            if len(page) < limit:
                return
            after = page[-1].blob.digest
            # Facts in memory answer without letting anybody else in.
            await asyncio.sleep(0)

    async def _explain(self, ripe: Sequence[DeadBlob]) -> list[Collected]:
        found = []
        for dead in ripe:
            owners = await self._ports.facts.list_owners(dead.blob.digest, 1)
            reason = Reason.UNNEEDED if owners else Reason.UNLINKED
            found.append(Collected(dead.blob, reason, dead.idle_since))
        return found

    async def _collect(self, found: Sequence[Collected], sums: "_Sums") -> None:
        """Rows first, then files, which nobody stores meanwhile."""
        if not found:
            return
        # What was used meanwhile is to be seen by the transaction.
        await self._ports.flush()
        wanted = [one.blob.digest for one in found if not self._ports.is_used(one.blob.digest)]
        with self._ports.custody.leaving(wanted) as free:
            gone = await self._ports.facts.collect_blobs(free, sums.unless_after)
            left = await self._delete(gone)
            busy = frozenset(wanted) - frozenset(free)
        sums.sort_out(found, busy, frozenset(record.digest for record in gone), left)

    async def _delete(self, gone: Sequence[BlobRecord]) -> frozenset[Digest]:
        """Those whose files are still there: the sweep of unrecorded files takes them later."""
        if not gone:
            return frozenset()
        left: frozenset[Digest] = frozenset()
        try:
            left = frozenset(await self._ports.store.delete_all([one.digest for one in gone]))
        finally:
            self._count([one.size for one in gone if one.digest not in left])
        if left:
            log.warning(
                "%d files could not be deleted, %s among them", len(left), min(left, key=str)
            )
        return left

    def _count(self, sizes: Sequence[int]) -> None:
        self._ports.freed(sum(sizes))
        self._ports.statistics.counted("collected_bytes", count=sum(sizes))
        self._ports.statistics.counted("collected", count=len(sizes))

    async def _collect_links(self, unless_after: datetime) -> int:
        total, page = 0, self._amounts.page
        after: LinkCursor | None = None
        while True:
            count, after = await self._ports.facts.collect_links(unless_after, after, page)
            self._ports.statistics.counted("collected_links", count=count)
            total += count
            if after is None:
                return total
            await asyncio.sleep(0)


@dataclass(slots=True)
class _Sums:
    """What a report is made of. Of the blobs themselves no more than ``most`` are remembered."""

    unless_after: datetime
    most: int
    named: list[Collected] = field(default_factory=list)
    went: dict[Reason, Tally] = field(default_factory=dict)
    kept: dict[Stay, Tally] = field(default_factory=dict)
    undeleted: Tally = Tally()
    first: datetime | None = None
    last: datetime | None = None

    def is_young(self, dead: DeadBlob) -> bool:
        if dead.idle_since <= self.unless_after:
            return False
        self._keep(Stay.YOUNG, dead.blob.size)
        self.first = min(dead.idle_since, self.first or dead.idle_since)
        self.last = max(dead.idle_since, self.last or dead.idle_since)
        return True

    def add(self, found: Sequence[Collected]) -> None:
        for one in found:
            self.went[one.reason] = self.went.get(one.reason, Tally()).plus(one.blob.size)
            if len(self.named) < self.most:
                self.named.append(one)

    def sort_out(
        self,
        found: Sequence[Collected],
        busy: frozenset[Digest],
        gone: frozenset[Digest],
        left: frozenset[Digest],
    ) -> None:
        for one in found:
            digest, size = one.blob.digest, one.blob.size
            if digest in gone:
                self.add([one])
                self.undeleted = self.undeleted.plus(size) if digest in left else self.undeleted
            else:
                self._keep(Stay.BUSY if digest in busy else Stay.WANTED, size)

    def protected(self, wait: timedelta) -> Protected | None:
        if self.first is None or self.last is None:
            return None
        return Protected(self.first + wait, self.last + wait)

    def _keep(self, stay: Stay, size: int) -> None:
        self.kept[stay] = self.kept.get(stay, Tally()).plus(size)
