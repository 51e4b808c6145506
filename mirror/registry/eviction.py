"""Making room: the least recently used goes first, whole images at a time.

A blob goes when no manifest that stays needs it. Hosted content is never listed, and what could
not be fetched again just now is kept: its upstream is unreachable or out of quota. Planning only
reads; applying checks again inside the transaction that deletes.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from mirror.oci.digest import Digest
from mirror.ports.blobs import BlobStore, StorageError
from mirror.ports.clock import Clock
from mirror.ports.metadata import EvictionStore, IdleBlob, IdleManifest
from mirror.ports.repository import Repository
from mirror.registry.oldest_first import oldest_first
from mirror.registry.statistics import Statistics

log = logging.getLogger(__name__)

BATCH = 100
"""Manifests removed in one transaction, and blobs."""

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

    ``kept`` counts what was old enough to go and was protected, by reason.
    """

    reason: str
    needed: int
    freed: int
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
    """The victims so far. ``remaining`` counts the manifests that still need a blob."""

    needed: int
    freed: int = 0
    manifests: list[IdleManifest] = field(default_factory=list)
    blobs: list[Digest] = field(default_factory=list)
    victims: list[Victim] = field(default_factory=list)
    remaining: dict[Digest, int] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)

    @property
    def enough(self) -> bool:
        return self.freed >= self.needed

    def take(self, idle: Idle) -> None:
        if isinstance(idle, IdleManifest):
            self._take_manifest(idle)
        else:
            self._take_blob(idle)

    def keep(self, reason: str) -> None:
        self.kept[reason] = self.kept.get(reason, 0) + 1

    def _take_manifest(self, idle: IdleManifest) -> None:
        freed = 0
        for blob, needed_by in idle.blobs:
            left = self.remaining.get(blob.digest, needed_by) - 1
            self.remaining[blob.digest] = left
            if left == 0:
                self.blobs.append(blob.digest)
                freed += blob.size
        self.freed += freed
        self.manifests.append(idle)
        self.victims.append(
            Victim(idle.descriptor.digest, freed, idle.last_used_at, idle.repository, idle.tags)
        )

    def _take_blob(self, idle: IdleBlob) -> None:
        self.freed += idle.blob.size
        self.blobs.append(idle.blob.digest)
        self.victims.append(Victim(idle.blob.digest, idle.blob.size, idle.last_used_at))


class Eviction:
    """One pass at a time; the caller sees to that."""

    def __init__(self, ports: EvictionPorts) -> None:
        self._ports = ports

    async def run(self, needed: int, reason: str, *, dry_run: bool) -> EvictionReport:
        """Free ``needed`` bytes if that many may go, or say what would go."""
        await self._ports.flush()
        begun_at = self._ports.clock.now()
        plan = await self._plan(needed)
        freed = plan.freed if dry_run else await self._apply(plan, begun_at)
        report = EvictionReport(
            reason, needed, freed, tuple(plan.victims), tuple(sorted(plan.kept.items())), dry_run
        )
        if not dry_run and plan.victims:
            log.info("evicted %d of %d bytes asked for: %s", freed, needed, reason)
        return report

    async def _plan(self, needed: int) -> Plan:
        plan = Plan(needed)
        if plan.enough:
            return plan
        async for idle in oldest_first(self._ports.facts):
            protected = self._protected(idle)
            if protected is not None:
                plan.keep(protected)
                continue
            plan.take(idle)
            if plan.enough:
                break
        return plan

    def _protected(self, idle: Idle) -> str | None:
        reasons = (protection(idle) for protection in self._ports.protections)
        return next((reason for reason in reasons if reason is not None), None)

    async def _apply(self, plan: Plan, begun_at: datetime) -> int:
        """Rows first, then files. Returns the bytes that were freed."""
        freed = 0
        for manifests in _batches(plan.manifests):
            await self._ports.facts.evict(manifests, (), begun_at)
        for blobs in _batches(plan.blobs):
            for record in await self._ports.facts.evict((), blobs, begun_at):
                freed += record.size
                self._ports.removed(record.size)
                await self._delete(record.digest)
        self._ports.statistics.counted("evicted_bytes", count=freed)
        self._ports.statistics.counted("evicted", count=len(plan.manifests) + len(plan.blobs))
        return freed

    async def _delete(self, digest: Digest) -> None:
        try:
            await self._ports.store.delete(digest)
        except StorageError as error:
            # Its row is gone, so the sweep of unrecorded files takes it later.
            log.warning("%s could not be deleted: %s", digest, error)


def _batches(items: Sequence[T]) -> list[Sequence[T]]:
    return [items[start : start + BATCH] for start in range(0, len(items), BATCH)]
