"""Making room: the least recently used goes first, whole images at a time.

A blob goes when no manifest that stays needs it. Hosted content is never listed, and what could
not be fetched again just now is kept: its upstream is unreachable or out of quota. Planning only
reads; applying checks again inside the transaction that deletes.
"""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from mirror.oci.digest import Digest
from mirror.ports.blobs import BlobStore
from mirror.ports.clock import Clock
from mirror.ports.metadata import EvictionStore, IdleBlob, IdleManifest
from mirror.ports.repository import Repository
from mirror.registry.oldest_first import oldest_first
from mirror.registry.statistics import Statistics

log = logging.getLogger(__name__)

BATCH = 500
"""Manifests removed in one transaction, and blobs."""

ROUND = 2000
"""Victims planned before they are removed: a plan for a million rows must not fill the memory."""

MOST_NAMED = 1000
"""Victims that a report names; the others are counted."""

T = TypeVar("T")

Idle = IdleManifest | IdleBlob

Protection = Callable[[Idle], str | None]
"""Why this may not go now, ``None`` when it may. Pins are one more of these."""


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
    clock: Clock
    statistics: Statistics
    protections: Sequence[Protection]
    flush: Callable[[], Awaitable[None]]
    removed: Callable[[int], None]


@dataclass(slots=True)
class Plan:
    """The victims of one round, and what they leave of the others' needs.

    ``remaining`` counts, for blobs of victims that others still need, how many do.
    """

    freed: int = 0
    count: int = 0
    manifests: list[IdleManifest] = field(default_factory=list)
    blobs: list[Digest] = field(default_factory=list)
    named: list[Victim] = field(default_factory=list)
    remaining: dict[Digest, int] = field(default_factory=dict)
    kept: Counter[str] = field(default_factory=Counter)

    @property
    def full(self) -> bool:
        return len(self.manifests) + len(self.blobs) >= ROUND

    def take(self, idle: Idle) -> None:
        victim = self._manifest(idle) if isinstance(idle, IdleManifest) else self._blob(idle)
        self.freed += victim.size
        self.count += 1
        if len(self.named) < MOST_NAMED:
            self.named.append(victim)

    def next_round(self) -> None:
        self.manifests, self.blobs = [], []

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
        self.blobs.append(idle.blob.digest)
        return Victim(idle.blob.digest, idle.blob.size, idle.last_used_at)


class Eviction:
    """One pass at a time; the caller sees to that."""

    def __init__(self, ports: EvictionPorts) -> None:
        self._ports = ports

    async def run(self, needed: int, reason: str, *, dry_run: bool) -> EvictionReport:
        """Free ``needed`` bytes if that many may go, or say what would go."""
        await self._ports.flush()
        begun_at = self._ports.clock.now()
        plan, freed = Plan(), 0
        if needed > 0:
            async for idle in oldest_first(self._ports.facts):
                self._consider(plan, idle)
                done = plan.freed >= needed
                if not dry_run and (done or plan.full):
                    freed += await self._apply(plan, begun_at)
                if done:
                    break
            if not dry_run:
                freed += await self._apply(plan, begun_at)
        return self._report(plan, needed, reason, plan.freed if dry_run else freed, dry_run=dry_run)

    def _report(
        self, plan: Plan, needed: int, reason: str, freed: int, *, dry_run: bool
    ) -> EvictionReport:
        if plan.count and not dry_run:
            log.info("evicted %d bytes of %d asked for: %s", freed, needed, reason)
        kept = tuple(sorted(plan.kept.items()))
        return EvictionReport(reason, needed, freed, plan.count, tuple(plan.named), kept, dry_run)

    def _consider(self, plan: Plan, idle: Idle) -> None:
        protected = self._protected(idle)
        if protected is None:
            plan.take(idle)
        else:
            plan.kept[protected] += 1

    def _protected(self, idle: Idle) -> str | None:
        reasons = (protection(idle) for protection in self._ports.protections)
        return next((reason for reason in reasons if reason is not None), None)

    async def _apply(self, plan: Plan, begun_at: datetime) -> int:
        """Rows first, then files. Returns the bytes that were freed."""
        freed = 0
        count = len(plan.manifests) + len(plan.blobs)
        for manifests in _batches(plan.manifests):
            await self._ports.facts.evict(manifests, (), begun_at)
        for blobs in _batches(plan.blobs):
            gone = await self._ports.facts.evict((), blobs, begun_at)
            size = sum(record.size for record in gone)
            freed += size
            self._ports.removed(size)
            await self._delete([record.digest for record in gone])
        plan.next_round()
        self._ports.statistics.counted("evicted_bytes", count=freed)
        self._ports.statistics.counted("evicted", count=count)
        return freed

    async def _delete(self, digests: Sequence[Digest]) -> None:
        kept = await self._ports.store.delete_all(digests)
        if kept:
            # Their rows are gone, so the sweep of unrecorded files takes them later.
            log.warning("%d files could not be deleted, %s among them", len(kept), kept[0])


def _batches(items: Sequence[T]) -> list[Sequence[T]]:
    return [items[start : start + BATCH] for start in range(0, len(items), BATCH)]
