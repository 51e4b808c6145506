"""The composition root: from a configuration to a running server. Only here adapters are named."""

import asyncio
import contextlib
import gc
import logging
import random
import secrets
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from mirror.api.access_log import AccessSink, as_json, as_text
from mirror.api.routes import make_application
from mirror.api.server import ListenError, Server, ServerSettings
from mirror.api.services import Services
from mirror.auth.networks import TrustedNetworks
from mirror.clock import SystemClock
from mirror.config import Config, Hosted
from mirror.data_folder import DataFolderError, keep_reserve, locked, release_reserve
from mirror.logs import LineWriter, start_logging, wants_text
from mirror.metadata.cached import CachedMetadata
from mirror.metadata.database import Database
from mirror.metadata.events import SqlEventQueue
from mirror.metadata.sql import SqlMetadata
from mirror.metadata.sqlite_database import open_sqlite_database
from mirror.ports.blobs import StorageError
from mirror.ports.clock import Clock
from mirror.ports.metadata import MetadataError, Use
from mirror.registry.blobs import BlobPorts, Blobs
from mirror.registry.collection import Collection, CollectionPorts
from mirror.registry.collector import Collector, Schedule
from mirror.registry.custody import Custody
from mirror.registry.eviction import Eviction, EvictionPorts
from mirror.registry.held import HeldManifests
from mirror.registry.hosting import Hosting, HostingPorts, Proxied, make_hosting
from mirror.registry.housekeeping import Housekeeping, HousekeepingPorts
from mirror.registry.immutable import ImmutableTags
from mirror.registry.in_use import InUse
from mirror.registry.manifests import ManifestPorts, Manifests
from mirror.registry.moves import TellMove
from mirror.registry.protection import in_use, unreachable_upstreams, used_just_now
from mirror.registry.proxied import ProxiedRegistries
from mirror.registry.recorded_referrers import RecordedReferrers
from mirror.registry.referrers import ReferrerPorts, Referrers
from mirror.registry.room import Limits
from mirror.registry.statistics import Statistics
from mirror.registry.tags import TagPorts, Tags
from mirror.registry.uploads import UploadLimits, UploadPorts, Uploads
from mirror.registry.usage import Usage
from mirror.storage.filesystem import FilesystemBlobStore
from mirror.webhook_wiring import WebhookParts, open_webhooks
from mirror.wiring import UnusableUpstream, make_immutable_tags, make_registries, make_router

log = logging.getLogger(__name__)

DISK_THREADS = 8

ALLOCATIONS = 20_000
"""More objects made than freed, before Python looks for cycles among the young ones."""

SHORTEST_DRAIN = 0.01
"""Seconds."""

UPLOAD_ID = 16
"""Random bytes in the id of an upload."""


async def pause(failures: int) -> None:
    """Before a download is resumed: longer each time, and not all at the same moment."""
    await asyncio.sleep(min(0.2 * 2**failures, 5.0) * (0.5 + random.random() / 2))  # noqa: S311 - spreads load, guards nothing


class ServeError(Exception):
    """The server cannot start; the message says why and what to do."""


def serve(config: Config) -> int:
    """Run until SIGTERM or SIGINT. Raises ServeError when it cannot start."""
    # Threads that hash or talk to the database let the event loop in this often, in seconds.
    sys.setswitchinterval(0.001)
    text = wants_text(config.log.format)
    writer = LineWriter(sys.stderr)
    start_logging(writer, config.log.level, text=text)
    for warning in config.warnings:
        log.warning("%s", warning)
    render = as_text if text else as_json
    try:
        return asyncio.run(_serve(config, lambda line: writer.write(render(line))))
    finally:
        writer.close()


async def _serve(config: Config, sink: AccessSink) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running(config, Surroundings(sink, stop)) as server:
        # What is here now stays, and what requests leave behind needs no search for cycles: each
        # search would take time from them.
        gc.freeze()
        gc.set_threshold(ALLOCATIONS)
        log.info(
            "mirror listens on %s:%d, data in %s", config.listen.host, server.port, config.data
        )
        await stop.wait()
        log.info("stopping; answers under way have %g s", config.timeouts.drain.total_seconds())
    return 0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a server takes from its process. ``stopping`` is set before it stops; ``pause`` waits
    after so many failures in a row.
    """

    sink: AccessSink
    stopping: asyncio.Event
    clock: Clock = field(default_factory=SystemClock)
    pause: Callable[[int], Awaitable[None]] = pause


@asynccontextmanager
async def running(config: Config, surroundings: Surroundings) -> AsyncIterator[Server]:
    """A server that listens, with everything it needs; on leaving all of it ends in order.

    Nothing is asked of the network. Raises ServeError.
    """
    try:
        async with AsyncExitStack() as stack:
            services = await _services(config, surroundings, stack)
            settings = ServerSettings(
                config.listen.host,
                config.listen.port,
                config.timeouts.keepalive.total_seconds(),
                # To the framework, no time at all would be all the time in the world.
                max(config.timeouts.drain.total_seconds(), SHORTEST_DRAIN),
            )
            server = Server(make_application(services), settings, surroundings.sink)
            await server.start()
            stack.push_async_callback(server.stop)
            yield server
    except (StorageError, MetadataError, DataFolderError, ListenError, UnusableUpstream) as error:
        raise ServeError(str(error)) from error


async def _services(config: Config, surroundings: Surroundings, stack: AsyncExitStack) -> Services:
    """Everything below HTTP. What is pushed on the stack ends in reverse order."""
    parts = await _parts(config, surroundings, stack)
    stack.push_async_callback(_save, parts.housekeeping)
    webhooks = await open_webhooks(config, parts.webhook_parts(), stack)
    blobs = Blobs(parts.blob_ports(surroundings.pause))
    stack.push_async_callback(blobs.close)
    manifests = Manifests(parts.manifest_ports(config.timeouts.stale_after, webhooks.moved))
    stack.push_async_callback(manifests.close)
    tags = Tags(parts.tag_ports(config.timeouts.stale_after))
    stack.push_async_callback(tags.close)
    referrers = Referrers(parts.referrer_ports(config.timeouts.stale_after))
    stack.push_async_callback(referrers.close)
    hosting = await _hosting(config, parts, Proxied(manifests, blobs, tags, referrers))
    # Who waits for an upload outwaits a sender that stalls.
    turn = 2 * config.timeouts.write
    uploads = Uploads(parts.upload_ports(), UploadLimits(config.hosted.upload_expiry, turn))
    stack.callback(uploads.close)
    parts.housekeeping.sweep_with(uploads.sweep)
    parts.housekeeping.evict_with(Eviction(parts.eviction_ports(blobs)))
    collector = parts.collector(config)
    _keep_house(parts.housekeeping, collector, stack)
    return Services(
        router=make_router(config),
        manifests=hosting.manifests,
        blobs=hosting.blobs,
        tags=hosting.tags,
        referrers=hosting.referrers,
        hosted=hosting.hosted,
        catalog=hosting.catalog,
        uploads=uploads,
        in_use=parts.in_use,
        registries=parts.registries,
        housekeeping=parts.housekeeping,
        collector=collector,
        inventory=parts.metadata,
        store=parts.store,
        limits=parts.limits,
        statistics=parts.statistics,
        access=TrustedNetworks(config.auth.trusted_networks),
        clock=parts.clock,
        ready=lambda: "stopping" if surroundings.stopping.is_set() else None,
        write_timeout=config.timeouts.write,
        instance=parts.instance,
        events=webhooks.events,
        webhooks=webhooks.statuses,
    )


async def _hosting(config: Config, parts: "_Parts", proxied: Proxied) -> Hosting:
    ports = parts.hosting_ports(make_immutable_tags(config), _renew_every(config.hosted))
    hosting = make_hosting(ports, proxied)
    await hosting.names.load()
    return hosting


def _renew_every(hosted: Hosted) -> timedelta:
    """What was renewed that long ago is still sure to stay for as long as an upload may last."""
    return min(hosted.gc.grace / 4, hosted.gc.grace - hosted.upload_expiry)


@dataclass(frozen=True, slots=True)
class _Parts:
    """Adapters and small services that several use cases share."""

    clock: Clock
    store: FilesystemBlobStore
    metadata: CachedMetadata
    event_queue: SqlEventQueue
    custody: Custody
    held: HeldManifests
    registries: ProxiedRegistries
    limits: Limits
    statistics: Statistics
    usage: Usage
    in_use: InUse
    housekeeping: Housekeeping
    instance: str

    def blob_ports(self, pause: Callable[[int], Awaitable[None]]) -> BlobPorts:
        return BlobPorts(
            store=self.store,
            links=self.metadata,
            custody=self.custody,
            registries=self.registries,
            clock=self.clock,
            usage=self.usage,
            statistics=self.statistics,
            room=self.housekeeping,
            pause=pause,
        )

    def webhook_parts(self) -> WebhookParts:
        return WebhookParts(self.event_queue, self.clock, self.statistics, self.instance)

    def manifest_ports(self, stale_after: timedelta, moved: TellMove) -> ManifestPorts:
        return ManifestPorts(
            held=self.held,
            tags=self.metadata,
            registries=self.registries,
            clock=self.clock,
            statistics=self.statistics,
            stale_after=stale_after,
            moved=moved,
        )

    def tag_ports(self, stale_after: timedelta) -> TagPorts:
        return TagPorts(self.metadata, self.registries, self.clock, stale_after)

    def referrer_ports(self, stale_after: timedelta) -> ReferrerPorts:
        recorded = RecordedReferrers(self.held, self.metadata)
        return ReferrerPorts(recorded, self.registries, self.clock, stale_after)

    def hosting_ports(self, immutable: ImmutableTags, renew_every: timedelta) -> HostingPorts:
        return HostingPorts(
            store=self.store,
            facts=self.metadata,
            held=self.held,
            custody=self.custody,
            immutable=immutable,
            clock=self.clock,
            usage=self.usage,
            statistics=self.statistics,
            renew_every=renew_every,
        )

    def upload_ports(self) -> UploadPorts:
        return UploadPorts(
            store=self.store,
            links=self.metadata,
            custody=self.custody,
            room=self.housekeeping,
            clock=self.clock,
            new_id=lambda: secrets.token_hex(UPLOAD_ID),
        )

    def collector(self, config: Config) -> Collector:
        ports = CollectionPorts(
            facts=self.metadata,
            store=self.store,
            custody=self.custody,
            clock=self.clock,
            statistics=self.statistics,
            flush=self.housekeeping.flush,
            is_used=lambda digest: Use(None, digest) in self.usage,
            freed=self.housekeeping.collected,
        )
        collection = Collection(ports, config.hosted.gc.grace)
        schedule = Schedule(config.hosted.gc.every)
        return Collector(collection, schedule, self.clock, self.statistics)

    def eviction_ports(self, blobs: Blobs) -> EvictionPorts:
        return EvictionPorts(
            facts=self.metadata,
            store=self.store,
            custody=self.custody,
            clock=self.clock,
            statistics=self.statistics,
            protections=(
                unreachable_upstreams(self.registries.frozen),
                in_use(lambda digest: digest in self.in_use or blobs.is_filling(digest)),
                used_just_now(self.usage),
            ),
            flush=self.housekeeping.flush,
            removed=self.housekeeping.removed,
        )


async def _parts(config: Config, surroundings: Surroundings, stack: AsyncExitStack) -> _Parts:
    clock = surroundings.clock
    FilesystemBlobStore.prepare(config.data)
    stack.enter_context(locked(config.data))
    # Its own threads: resolving names uses the event loop's, and must not wait for a disk.
    disk = ThreadPoolExecutor(DISK_THREADS, thread_name_prefix="disk")
    stack.callback(disk.shutdown)
    store = FilesystemBlobStore(config.data, clock, disk)
    database = await _open_database(config.data)
    metadata = CachedMetadata(SqlMetadata(database))
    stack.push_async_callback(metadata.close)
    instance = uuid.uuid4().hex[:12]
    registries = make_registries(config, clock, instance)
    for registry in registries.by_name.values():
        stack.push_async_callback(registry.upstream.close)
    custody, statistics, usage = Custody(), Statistics(), Usage(clock)
    statistics.follow(registries.counts)
    limits = Limits(config.cache.max_size, config.cache.low_size, config.cache.min_free)
    housekeeping = Housekeeping(
        HousekeepingPorts(store, metadata, custody, clock, statistics, usage, limits)
    )
    await housekeeping.start()
    return _Parts(
        clock,
        store,
        metadata,
        SqlEventQueue(database),
        custody,
        HeldManifests(store, metadata, metadata, custody, clock, usage),
        registries,
        limits,
        statistics,
        usage,
        InUse(),
        housekeeping,
        instance,
    )


async def _save(housekeeping: Housekeeping) -> None:
    """A full disk is no reason to end as if the server had never served."""
    try:
        await housekeeping.flush()
    except MetadataError as error:
        log.warning("uses and counters of the last seconds are lost: %s", error)


async def _open_database(data: Path) -> Database:
    """Also on a full disk, as long as the room that was set aside is there."""
    try:
        return await open_sqlite_database(data / "metadata.db")
    except MetadataError:
        if not release_reserve(data):
            raise
        return await open_sqlite_database(data / "metadata.db")
    finally:
        keep_reserve(data)


def _keep_house(housekeeping: Housekeeping, collector: Collector, stack: AsyncExitStack) -> None:
    for loop in (
        housekeeping.keep_counts,
        housekeeping.keep_limits,
        housekeeping.keep_clean,
        collector.keep_collected,
    ):
        stack.push_async_callback(_end, asyncio.create_task(loop(), name=loop.__name__))


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
