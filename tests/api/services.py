"""Real use cases over adapters in memory, and an application made of them.

The only things that are not real are the upstreams, which do as the test says.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from ipaddress import ip_network

from mirror.api.services import Services
from mirror.auth.networks import Network, TrustedNetworks
from mirror.metadata.cached import CachedMetadata
from mirror.metadata.memory import MemoryMetadata
from mirror.oci.digest import Digest, parse_digest
from mirror.oci.manifest import Manifest, parse_references
from mirror.oci.reference import RepositoryName, Tag
from mirror.ports.metadata import BlobRecord, TagRecord, Use
from mirror.ports.repository import Repository
from mirror.ports.upstream import Upstream
from mirror.registry.blobs import BlobPorts, Blobs
from mirror.registry.collection import Collection, CollectionPorts
from mirror.registry.collector import Collector, Schedule
from mirror.registry.custody import Custody
from mirror.registry.eviction import Eviction, EvictionPorts, Protection
from mirror.registry.freshness import FreshnessPolicy
from mirror.registry.glob import Glob
from mirror.registry.held import HeldManifests
from mirror.registry.hosting import Hosting, HostingPorts, Proxied, make_hosting
from mirror.registry.housekeeping import Housekeeping, HousekeepingPorts
from mirror.registry.immutable import ImmutableTags
from mirror.registry.in_use import InUse
from mirror.registry.manifests import ManifestPorts, Manifests
from mirror.registry.protection import in_use, unreachable_upstreams, used_just_now
from mirror.registry.proxied import ProxiedRegistries, ProxiedRegistry
from mirror.registry.recorded_referrers import RecordedReferrers
from mirror.registry.referrers import ReferrerPorts, Referrers
from mirror.registry.room import Limits
from mirror.registry.routing import Router, UpstreamRule
from mirror.registry.statistics import Statistics
from mirror.registry.tags import TagPorts, Tags
from mirror.registry.uploads import UploadLimits, UploadPorts, Uploads
from mirror.registry.usage import Usage
from mirror.storage.memory import MemoryBlobStore
from tests.registry.scripted_upstream import ScriptedUpstream, manifest_of
from tests.simulated_hub import Image, Index
from tests.world import SettableClock

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1"))
ELSEWHERE = (ip_network("192.0.2.0/24"),)
ROOMY = Limits(max_size=1 << 30, low_size=900 << 20, min_free=1 << 20)
STALE_AFTER = timedelta(seconds=1.5)
GRACE = timedelta(hours=48)
UPLOAD_EXPIRY = timedelta(hours=24)


@dataclass(slots=True)
class MemoryMirror:
    """Everything below HTTP. ``not_ready`` is what readiness says."""

    clock: SettableClock
    store: MemoryBlobStore
    metadata: CachedMetadata
    upstreams: Mapping[str, ScriptedUpstream]
    usage: Usage
    services: Services
    not_ready: str | None = None

    async def hold(
        self, repository: Repository, tag: str | None, image: Image, *, whole: bool = True
    ) -> None:
        """As if it had been pulled just now; not ``whole``: only its manifest."""
        now, manifest = self.clock.now(), manifest_of(image)
        blobs = {parse_digest(key): content for key, content in image.blobs.items()}
        await self._keep(repository, manifest)
        for digest, content in blobs.items() if whole else ():
            await self._count(digest, len(content))
            await self.store.put(digest, content)
            await self.metadata.put_blob(repository, BlobRecord(digest, len(content)), now)
        if tag is not None:
            record = TagRecord(manifest.descriptor, now)
            await self.metadata.put_tag(repository, Tag(tag), record)

    async def hold_index(self, repository: Repository, tag: str, index: Index) -> None:
        """The index alone; its images are held on their own."""
        manifest = manifest_of(index)
        await self._keep(repository, manifest)
        record = TagRecord(manifest.descriptor, self.clock.now())
        await self.metadata.put_tag(repository, Tag(tag), record)

    async def _keep(self, repository: Repository, manifest: Manifest) -> None:
        await self._count(manifest.digest, manifest.size)
        await self.store.put(manifest.digest, manifest.content)
        references = parse_references(manifest)
        await self.metadata.put_manifest(
            repository, manifest.descriptor, references, self.clock.now()
        )

    async def _count(self, digest: Digest, size: int) -> None:
        if await self.metadata.get_stored(digest) is None:
            self.services.housekeeping.added(size)


@dataclass(frozen=True, slots=True)
class Wishes:
    """How the mirror of a test is to be."""

    trusted: Sequence[Network] = LOOPBACK
    limits: Limits = ROOMY
    upstreams: Sequence[str] = ("docker.io", "ghcr.io")
    offline: bool = False
    capacity: int = 1 << 30
    immutable_tags: Sequence[str] = ()


def repository(text: str) -> Repository:
    """``docker.io/library/nginx``."""
    upstream, _, name = text.partition("/")
    return Repository(upstream, RepositoryName(name))


def hosted(name: str) -> Repository:
    return Repository(None, RepositoryName(name))


def make_mirror(wishes: Wishes | None = None) -> MemoryMirror:
    wishes = wishes or Wishes()
    clock = SettableClock()
    store = MemoryBlobStore(clock, wishes.capacity)
    metadata = CachedMetadata(MemoryMetadata())
    upstreams = {name: ScriptedUpstream() for name in wishes.upstreams}
    usage = Usage(clock)
    registries = _registries(upstreams, offline=wishes.offline)
    ports = HousekeepingPorts(store, metadata, Custody(), clock, Statistics(), usage, wishes.limits)
    immutable = ImmutableTags([Glob(pattern) for pattern in wishes.immutable_tags])
    access = TrustedNetworks(wishes.trusted)
    services = _services(ports, metadata, registries, access, immutable)
    mirror = MemoryMirror(clock, store, metadata, upstreams, usage, services)
    mirror.services = replace(services, ready=lambda: mirror.not_ready)
    return mirror


def _registries(upstreams: Mapping[str, Upstream], *, offline: bool) -> ProxiedRegistries:
    policy = FreshnessPolicy(timedelta(minutes=5))
    by_name = {
        name: ProxiedRegistry(name, upstream, policy) for name, upstream in upstreams.items()
    }
    return ProxiedRegistries(by_name, offline)


def _services(
    ports: HousekeepingPorts,
    metadata: CachedMetadata,
    registries: ProxiedRegistries,
    access: TrustedNetworks,
    immutable: ImmutableTags,
) -> Services:
    housekeeping, using = Housekeeping(ports), InUse()
    blobs = _blobs(ports, metadata, registries, housekeeping)
    busy = in_use(lambda digest: digest in using or blobs.is_filling(digest))
    housekeeping.evict_with(_eviction(ports, metadata, registries, housekeeping, busy))
    hosting = _hosting(ports, metadata, registries, blobs, immutable)
    uploads = _uploads(ports, metadata, housekeeping)
    housekeeping.sweep_with(uploads.sweep)
    return Services(
        router=_router(registries),
        manifests=hosting.manifests,
        blobs=hosting.blobs,
        tags=hosting.tags,
        referrers=hosting.referrers,
        hosted=hosting.hosted,
        catalog=hosting.catalog,
        uploads=uploads,
        in_use=using,
        registries=registries,
        housekeeping=housekeeping,
        collector=_collector(ports, metadata, housekeeping),
        inventory=metadata,
        store=ports.store,
        limits=ports.limits,
        statistics=ports.statistics,
        access=access,
        clock=ports.clock,
        ready=lambda: None,
        write_timeout=timedelta(seconds=10),
    )


def _eviction(
    ports: HousekeepingPorts,
    metadata: CachedMetadata,
    registries: ProxiedRegistries,
    housekeeping: Housekeeping,
    busy: Protection,
) -> Eviction:
    unreachable = unreachable_upstreams(registries.frozen)
    return Eviction(
        EvictionPorts(
            facts=metadata,
            store=ports.store,
            custody=ports.custody,
            clock=ports.clock,
            statistics=ports.statistics,
            protections=(unreachable, busy, used_just_now(ports.usage)),
            flush=housekeeping.flush,
            removed=housekeeping.removed,
        )
    )


def _collector(
    ports: HousekeepingPorts, metadata: CachedMetadata, housekeeping: Housekeeping
) -> Collector:
    collection_ports = CollectionPorts(
        facts=metadata,
        store=ports.store,
        custody=ports.custody,
        clock=ports.clock,
        statistics=ports.statistics,
        flush=housekeeping.flush,
        is_used=lambda digest: Use(None, digest) in ports.usage,
        freed=housekeeping.collected,
    )
    collection = Collection(collection_ports, GRACE)
    return Collector(collection, Schedule(None), ports.clock, ports.statistics)


def _router(registries: ProxiedRegistries) -> Router:
    rules = [UpstreamRule(name, default=name == "docker.io") for name in registries.by_name]
    return Router(rules, [Glob("local/**")])


def _blobs(
    ports: HousekeepingPorts,
    metadata: CachedMetadata,
    registries: ProxiedRegistries,
    housekeeping: Housekeeping,
) -> Blobs:
    return Blobs(
        BlobPorts(
            store=ports.store,
            links=metadata,
            custody=ports.custody,
            registries=registries,
            clock=ports.clock,
            usage=ports.usage,
            statistics=ports.statistics,
            room=housekeeping,
            pause=_no_pause,
        )
    )


def _uploads(
    ports: HousekeepingPorts, metadata: CachedMetadata, housekeeping: Housekeeping
) -> Uploads:
    ids = itertools.count(1)
    upload_ports = UploadPorts(
        store=ports.store,
        links=metadata,
        custody=ports.custody,
        room=housekeeping,
        clock=ports.clock,
        new_id=lambda: f"{next(ids):032x}",
    )
    limits = UploadLimits(UPLOAD_EXPIRY, timedelta(seconds=10), timedelta(milliseconds=1))
    return Uploads(upload_ports, limits)


def _hosting(
    ports: HousekeepingPorts,
    metadata: CachedMetadata,
    registries: ProxiedRegistries,
    blobs: Blobs,
    immutable: ImmutableTags,
) -> Hosting:
    held = HeldManifests(ports.store, metadata, metadata, ports.custody, ports.clock, ports.usage)
    hosting = HostingPorts(
        store=ports.store,
        facts=metadata,
        held=held,
        custody=ports.custody,
        immutable=immutable,
        clock=ports.clock,
        usage=ports.usage,
        statistics=ports.statistics,
        renew_every=GRACE / 4,
    )
    manifests = ManifestPorts(
        held=held,
        tags=metadata,
        registries=registries,
        clock=ports.clock,
        statistics=ports.statistics,
        stale_after=STALE_AFTER,
    )
    tags = TagPorts(metadata, registries, ports.clock, STALE_AFTER)
    recorded = RecordedReferrers(held, metadata)
    referrers = ReferrerPorts(recorded, registries, ports.clock, STALE_AFTER)
    proxied = Proxied(Manifests(manifests), blobs, Tags(tags), Referrers(referrers))
    return make_hosting(hosting, proxied)


async def _no_pause(_failures: int) -> None:
    """Nothing here needs time to recover."""
