"""Making room: the least recently used goes first, whole images at a time.

A blob goes when no manifest that stays needs it. Hosted content is never listed, and what could
not be fetched again just now is kept: its upstream is unreachable or out of quota. Planning only
reads; applying checks again inside the transaction that deletes.
"""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

from mirror.oci.digest import Digest
from mirror.ports.blobs import BlobStore
from mirror.ports.clock import Clock
from mirror.ports.metadata import BlobRecord, EvictionStore, IdleBlob, IdleManifest
from mirror.ports.repository import Repository
from mirror.registry.custody import Custody
from mirror.registry.oldest_first import PAGE, oldest_first
from mirror.registry.statistics import Statistics

log = logging.getLogger(__name__)

T = TypeVar("T")

Idle = IdleManifest | IdleBlob

T_idle = TypeVar("T_idle", IdleManifest, IdleBlob)

_END_OF_TIME = datetime.max.replace(tzinfo=UTC)

USED_JUST_NOW = "used just now"
"""Why what was used since the eviction began stays."""

Protection = Callable[[Idle], str | None]
"""Why this may not go now, ``None`` when it may. Pins are one more of these."""


@dataclass(frozen=True, slots=True)
class Portions:
    """How much at a time, in victims: a plan for a million rows must not fill the memory.

    A ``round`` is planned before it is removed. A ``batch`` of blobs, or the fifth part of it of
    manifests, is removed in one transaction, for which whoever else writes has to wait. A report
    names ``named``; the others are counted. A ``page`` is so many rows of a scan.
    """

    round: int = 10_000
    batch: int = 1000
    named: int = 1000
    page: int = PAGE

    @property
    def manifests(self) -> int:
        """In one transaction: each is some twenty rows with its tags, references and links."""
        return max(self.batch // 5, 1)


@dataclass(frozen=True, slots=True)
class Victim:
    """What goes. ``size`` is the bytes its going frees, zero while other images need them.

    ``repository`` and ``tags`` are of a manifest; a blob that no manifest needs has none.
    """

    digest: Digest
    size: int
    last_used_at: datetime
    repository: Repository | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EvictionReport:
    """What an eviction did, or would do. ``needed`` and ``freed`` are bytes.

    ``count`` is that of all victims, of which the first are named. ``kept`` counts what was old
    enough to go and was protected, by reason.
    """

    reason: str
    needed: int
    freed: int
    count: int
    victims: tuple[Victim, ...]
    kept: tuple[tuple[str, int], ...]
    dry_run: bool


@dataclass(frozen=True, slots=True)
class EvictionPorts:
    """What the use case works with. ``flush`` writes pending uses, so that recency is right."""

    facts: EvictionStore
    store: BlobStore
    custody: Custody
    clock: Clock
    statistics: Statistics
    protections: Sequence[Protection]
    flush: Callable[[], Awaitable[None]]
    removed: Callable[[int], None]


@dataclass(slots=True)
class Plan:
    """The victims of one round, and what they leave of the others' needs.

    ``blobs`` are those of its ``manifests``, ``unneeded`` those that no manifest needed before.

    ``freed`` is of this round; ``count``, ``named`` and ``kept`` are of all rounds. ``remaining``
    counts, for blobs of victims that others still need, how many do.
    """

    portions: Portions
    freed: int = 0
    count: int = 0
    last: Idle | None = None
    manifests: list[IdleManifest] = field(default_factory=list)
    blobs: list[Digest] = field(default_factory=list)
    unneeded: list[IdleBlob] = field(default_factory=list)
    named: list[Victim] = field(default_factory=list)
    remaining: dict[Digest, int] = field(default_factory=dict)
    kept: Counter[str] = field(default_factory=Counter)

    @property
    def full(self) -> bool:
        return len(self.manifests) + len(self.blobs) + len(self.unneeded) >= self.portions.round

    def take(self, idle: Idle) -> None:
        victim = self._manifest(idle) if isinstance(idle, IdleManifest) else self._blob(idle)
        self.last = idle
        self.freed += victim.size
        self.count += 1
        if len(self.named) < self.portions.named:
            self.named.append(victim)

    def goes_with_last(self, idle: Idle) -> bool:
        """Whether it was used in the same moment of the same repository as the last victim: an
        index and the manifests below it, of which none is worth keeping without the others.
        """
        return (
            isinstance(idle, IdleManifest)
            and isinstance(self.last, IdleManifest)
            and idle.repository == self.last.repository
            and idle.last_used_at == self.last.last_used_at
        )

    def is_past_last(self, idle: Idle) -> bool:
        return self.last is None or idle.last_used_at != self.last.last_used_at

    def is_before(self, idle: Idle, begun_at: datetime) -> bool:
        """Whether the victims are from before the eviction began, unlike ``idle``."""
        return self.last is not None and self.last.last_used_at <= begun_at < idle.last_used_at

    def next_round(self) -> None:
        self.freed = 0
        self.manifests, self.blobs, self.unneeded = [], [], []

    def _manifest(self, idle: IdleManifest) -> Victim:
        freed = 0
        for blob, needed_by in idle.blobs:
            left = self.remaining.pop(blob.digest, needed_by) - 1
            if left > 0:
                self.remaining[blob.digest] = left
            else:
                self.blobs.append(blob.digest)
                freed += blob.size
        self.manifests.append(idle)
        return Victim(idle.descriptor.digest, freed, idle.last_used_at, idle.repository, idle.tags)

    def _blob(self, idle: IdleBlob) -> Victim:
        self.unneeded.append(idle)
        return Victim(idle.blob.digest, idle.blob.size, idle.last_used_at)


class Eviction:
    """One pass at a time; the caller sees to that."""

    def __init__(self, ports: EvictionPorts, portions: Portions | None = None) -> None:
        self._ports = ports
        self._portions = portions or Portions()

    async def run(self, needed: int, reason: str, *, dry_run: bool) -> EvictionReport:
        """Free ``needed`` bytes if that many may go, or say what would go."""
        # Before the flush: what is used from now on, written or not, is used since.
        begun_at = self._ports.clock.now()
        await self._ports.flush()
        plan, freed = Plan(self._portions), 0
        async with aclosing(oldest_first(self._ports.facts, self._portions.page)) as rows:
            async for idle in rows:
                enough = freed + plan.freed >= needed
                ends = enough and plan.is_past_last(idle)
                if enough and not ends and not plan.goes_with_last(idle):
                    continue
                if ends or plan.full or plan.is_before(idle, begun_at):
                    freed += await self._end_round(plan, begun_at, dry_run=dry_run)
                # Less was freed than planned when some of it was used meanwhile.
                if ends and freed >= needed:
                    break
                self._consider(plan, idle, begun_at)
        freed += await self._end_round(plan, begun_at, dry_run=dry_run)
        return self._report(plan, needed, reason, freed, dry_run=dry_run)

    def _report(
        self, plan: Plan, needed: int, reason: str, freed: int, *, dry_run: bool
    ) -> EvictionReport:
        if plan.count and not dry_run:
            log.info("evicted %d bytes of %d asked for: %s", freed, needed, reason)
        kept = tuple(sorted(plan.kept.items()))
        return EvictionReport(reason, needed, freed, plan.count, tuple(plan.named), kept, dry_run)

    def _consider(self, plan: Plan, idle: Idle, begun_at: datetime) -> None:
        # A use moves a row to where the scan is still to come. What lies beyond the present is from
        # before the clock was set back, and is no such use.
        used_since = begun_at < idle.last_used_at <= self._ports.clock.now()
        protected = USED_JUST_NOW if used_since else self._protected(idle)
        if protected is None:
            plan.take(idle)
        else:
            plan.kept[protected] += 1

    def _protected(self, idle: Idle) -> str | None:
        reasons = (protection(idle) for protection in self._ports.protections)
        return next((reason for reason in reasons if reason is not None), None)

    def _unprotected(self, victims: Sequence[T_idle]) -> list[T_idle]:
        """Planning took a while, and reasons to stay may have come up."""
        return [idle for idle in victims if self._protected(idle) is None]

    async def _end_round(self, plan: Plan, begun_at: datetime, *, dry_run: bool) -> int:
        freed = plan.freed if dry_run else await self._apply(plan, begun_at)
        plan.next_round()
        return freed

    async def _apply(self, plan: Plan, begun_at: datetime) -> int:
        """Rows first, then files. Returns the bytes that were freed."""
        if plan.last is None:
            return 0
        # Times beyond the present are from before the clock was set back. They tell of no use
        # since, and an image's layers have later ones than itself.
        is_present = plan.last.last_used_at <= begun_at
        unless_used_after = begun_at if is_present else _END_OF_TIME
        for manifests in _batches(plan.manifests, self._portions.manifests):
            await self._evict(self._unprotected(manifests), (), unless_used_after)
        unneeded = [idle.blob.digest for idle in self._unprotected(plan.unneeded)]
        freed = 0
        for blobs in _batches([*plan.blobs, *unneeded], self._portions.batch):
            with self._ports.custody.leaving(blobs) as free:
                freed += await self._remove(await self._evict((), free, unless_used_after))
        return freed

    async def _evict(
        self,
        manifests: Sequence[IdleManifest],
        blobs: Sequence[Digest],
        unless_used_after: datetime,
    ) -> Sequence[BlobRecord]:
        # What was used meanwhile is to be seen by the transaction.
        await self._ports.flush()
        return await self._ports.facts.evict(manifests, blobs, unless_used_after)

    async def _remove(self, gone: Sequence[BlobRecord]) -> int:
        """The bytes that were freed."""
        if not gone:
            return 0
        try:
            kept = await self._ports.store.delete_all([record.digest for record in gone])
        finally:
            self._ports.removed(sum(record.size for record in gone))
        if kept:
            # Their rows are gone, so the sweep of unrecorded files takes them later.
            log.warning("%d files could not be deleted, %s among them", len(kept), kept[0])
        left = frozenset(kept)
        sizes = [record.size for record in gone if record.digest not in left]
        self._ports.statistics.counted("evicted_bytes", count=sum(sizes))
        self._ports.statistics.counted("evicted", count=len(sizes))
        return sum(sizes)


def _batches(items: Sequence[T], size: int) -> list[Sequence[T]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
