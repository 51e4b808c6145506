"""Use cases put together as the server does it, over adapters in memory or on disk."""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from mirror.metadata.cached import CachedMetadata
from mirror.metadata.memory import MemoryMetadata
from mirror.oci.digest import Digest
from mirror.oci.reference import RepositoryName, Tag
from mirror.ports.blobs import BlobStore
from mirror.ports.hosting import Facts
from mirror.ports.repository import Repository
from mirror.ports.upstream import Upstream
from mirror.registry.blobs import BlobPorts, Blobs
from mirror.registry.custody import Custody
from mirror.registry.eviction import Eviction, EvictionPorts
from mirror.registry.freshness import FreshnessPolicy
from mirror.registry.held import HeldManifests
from mirror.registry.housekeeping import Housekeeping, HousekeepingPorts
from mirror.registry.in_use import InUse
from mirror.registry.manifests import ManifestPorts, Manifests
from mirror.registry.moves import TellMove, tell_nobody
from mirror.registry.protection import in_use, unreachable_upstreams, used_just_now
from mirror.registry.proxied import DeletedTags, ProxiedRegistries, ProxiedRegistry
from mirror.registry.recorded_referrers import RecordedReferrers
from mirror.registry.referrers import ReferrerPorts, Referrers
from mirror.registry.room import Limits
from mirror.registry.routing import Approach, Route
from mirror.registry.statistics import Statistics
from mirror.registry.tags import TagPorts, Tags
from mirror.registry.usage import Usage
from mirror.storage.disk import Checkpoint, pass_checkpoint
from mirror.storage.filesystem import FilesystemBlobStore
from mirror.storage.memory import MemoryBlobStore
from tests.world import SettableClock

HUB = "docker.io"
GHCR = "ghcr.io"
NAME = "library/nginx"
NGINX = Repository(HUB, RepositoryName(NAME))
REDIS = Repository(HUB, RepositoryName("library/redis"))
GHCR_APP = Repository(GHCR, RepositoryName("team/app"))
LATEST = Tag("latest")

MIRROR = Route(NGINX, Approach.MIRROR)
DIRECT = Route(NGINX, Approach.DIRECT)
TO_REDIS = Route(REDIS, Approach.MIRROR)
TO_GHCR = Route(GHCR_APP, Approach.DIRECT)

FRESH = timedelta(minutes=5)
ROOMY = Limits(max_size=1 << 30, low_size=900 << 20, min_free=0)


@dataclass(frozen=True, slots=True)
class Ground:
    """What outlives a restart: bytes, facts and time."""

    clock: SettableClock
    store: BlobStore
    facts: Facts


@dataclass(frozen=True, slots=True)
class Habits:
    """What an operator would configure."""

    limits: Limits = ROOMY
    offline: bool = False
    freshness: timedelta = FRESH
    deleted_tags: DeletedTags = DeletedTags.NOT_FOUND
    stale_after: timedelta = timedelta(seconds=5)
    moved: TellMove = tell_nobody


@dataclass(frozen=True, slots=True)
class Pause:
    """Takes no time, and notes that it was made."""

    taken: list[int]

    async def __call__(self, failures: int) -> None:
        self.taken.append(failures)
        await asyncio.sleep(0)


@dataclass(slots=True)
class Workbench:
    """Every use case, and what they work with."""

    ground: Ground
    upstreams: Mapping[str, Upstream]
    habits: Habits
    facts: CachedMetadata
    custody: Custody
    registries: ProxiedRegistries
    statistics: Statistics
    usage: Usage
    using: InUse
    housekeeping: Housekeeping
    blobs: Blobs
    manifests: Manifests
    tags: Tags
    referrers: Referrers
    pauses: list[int] = field(default_factory=list)
    """The failures in a row at each of the pauses that a download would have made."""

    @property
    def clock(self) -> SettableClock:
        return self.ground.clock

    @property
    def store(self) -> BlobStore:
        return self.ground.store

    async def close(self) -> None:
        await self.blobs.close()
        await self.manifests.close()
        await self.tags.close()
        await self.referrers.close()

    def has(self, digest: Digest) -> bool:
        """Whether the bytes are stored."""
        opened = self.store.open(digest)
        if opened is not None:
            opened.close()
        return opened is not None


def memory_ground(capacity: int = 1 << 30, clock: SettableClock | None = None) -> Ground:
    clock = clock or SettableClock()
    return Ground(clock, MemoryBlobStore(clock, capacity), MemoryMetadata())


def disk_ground(
    root: Path,
    clock: SettableClock | None = None,
    checkpoint: Checkpoint = pass_checkpoint,
    executor: Executor | None = None,
) -> Ground:
    clock = clock or SettableClock()
    FilesystemBlobStore.prepare(root)
    return Ground(clock, FilesystemBlobStore(root, clock, executor, checkpoint), MemoryMetadata())


def set_up(
    ground: Ground, upstreams: Mapping[str, Upstream], habits: Habits | None = None
) -> Workbench:
    habits = habits or Habits()
    equipment = _equip(ground, upstreams, habits)
    facts, registries, usage = equipment.facts, equipment.registries, equipment.usage
    housekeeping = Housekeeping(
        HousekeepingPorts(
            ground.store,
            facts,
            equipment.custody,
            ground.clock,
            equipment.statistics,
            usage,
            habits.limits,
        )
    )
    pauses: list[int] = []
    bench = Workbench(
        ground=ground,
        upstreams=upstreams,
        habits=habits,
        facts=facts,
        custody=equipment.custody,
        registries=registries,
        statistics=equipment.statistics,
        usage=usage,
        using=InUse(),
        housekeeping=housekeeping,
        blobs=_blobs(ground, equipment, housekeeping, Pause(pauses)),
        manifests=_manifests(ground, equipment, habits),
        tags=Tags(TagPorts(facts, registries, ground.clock, habits.stale_after)),
        referrers=_referrers(ground, equipment, habits),
        pauses=pauses,
    )
    housekeeping.evict_with(Eviction(eviction_ports(bench)))
    return bench


@dataclass(frozen=True, slots=True)
class _Equipment:
    """What the use cases share."""

    facts: CachedMetadata
    custody: Custody
    registries: ProxiedRegistries
    statistics: Statistics
    usage: Usage
    held: HeldManifests


def _equip(ground: Ground, upstreams: Mapping[str, Upstream], habits: Habits) -> _Equipment:
    registries = {name: _registry(name, upstream, habits) for name, upstream in upstreams.items()}
    facts, custody, usage = CachedMetadata(ground.facts), Custody(), Usage(ground.clock)
    return _Equipment(
        facts,
        custody,
        ProxiedRegistries(registries, habits.offline),
        Statistics(),
        usage,
        HeldManifests(ground.store, facts, facts, custody, ground.clock, usage),
    )


def _blobs(ground: Ground, equipment: _Equipment, room: Housekeeping, pause: Pause) -> Blobs:
    return Blobs(
        BlobPorts(
            store=ground.store,
            links=equipment.facts,
            custody=equipment.custody,
            registries=equipment.registries,
            clock=ground.clock,
            usage=equipment.usage,
            statistics=equipment.statistics,
            room=room,
            pause=pause,
        )
    )


def _manifests(ground: Ground, equipment: _Equipment, habits: Habits) -> Manifests:
    return Manifests(
        ManifestPorts(
            held=equipment.held,
            tags=equipment.facts,
            registries=equipment.registries,
            clock=ground.clock,
            statistics=equipment.statistics,
            stale_after=habits.stale_after,
            moved=habits.moved,
        )
    )


def _referrers(ground: Ground, equipment: _Equipment, habits: Habits) -> Referrers:
    recorded = RecordedReferrers(equipment.held, equipment.facts)
    return Referrers(
        ReferrerPorts(recorded, equipment.registries, ground.clock, habits.stale_after)
    )


def eviction_ports(bench: Workbench) -> EvictionPorts:
    return EvictionPorts(
        facts=bench.facts,
        store=bench.store,
        custody=bench.custody,
        clock=bench.clock,
        statistics=bench.statistics,
        protections=(
            unreachable_upstreams(bench.registries.frozen),
            in_use(lambda digest: digest in bench.using or bench.blobs.is_filling(digest)),
            used_just_now(bench.usage),
        ),
        flush=bench.housekeeping.flush,
        removed=bench.housekeeping.removed,
    )


def _registry(name: str, upstream: Upstream, habits: Habits) -> ProxiedRegistry:
    return ProxiedRegistry(name, upstream, FreshnessPolicy(habits.freshness), habits.deleted_tags)


def fills() -> set[asyncio.Task[object]]:
    """The downloads that run now."""
    return {task for task in asyncio.all_tasks() if task.get_name().startswith("fill ")}


async def fills_ended(besides: set[asyncio.Task[object]] | None = None) -> None:
    """Until nothing is being downloaded any more."""
    waiting = fills() - (besides or set())
    if waiting:
        _, late = await asyncio.wait(waiting, timeout=30)
        assert not late


async def settle(rounds: int = 60) -> None:
    """Let everything that can go on without the world do so."""
    for _ in range(rounds):
        await asyncio.sleep(0)


def names_in(folder: Path) -> Sequence[str]:
    return sorted(path.name for path in folder.iterdir())
