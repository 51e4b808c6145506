"""The composition root: from a configuration to a running server. Only here adapters are named."""

import asyncio
import contextlib
import logging
import random
import signal
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from mirror.api.access_log import AccessSink, as_json, as_text
from mirror.api.routes import make_application
from mirror.api.server import ListenError, Server, ServerSettings
from mirror.api.services import Services
from mirror.auth.networks import TrustedNetworks
from mirror.clock import SystemClock
from mirror.config import Config
from mirror.data_folder import DataFolderError, locked
from mirror.logs import LineWriter, start_logging, wants_text
from mirror.metadata.cached import CachedMetadata
from mirror.metadata.sql import open_sqlite
from mirror.ports.blobs import StorageError
from mirror.ports.metadata import MetadataError
from mirror.registry.blobs import BlobPorts, Blobs
from mirror.registry.eviction import Eviction, EvictionPorts
from mirror.registry.held import HeldManifests
from mirror.registry.housekeeping import Housekeeping, HousekeepingPorts
from mirror.registry.in_use import InUse
from mirror.registry.manifests import ManifestPorts, Manifests
from mirror.registry.protection import in_use, unreachable_upstreams, used_just_now
from mirror.registry.room import Limits
from mirror.registry.statistics import Statistics
from mirror.registry.usage import Usage
from mirror.storage.filesystem import FilesystemBlobStore
from mirror.wiring import make_registries, make_router

log = logging.getLogger(__name__)


class ServeError(Exception):
    """The server cannot start; the message says why and what to do."""


def serve(config: Config) -> int:
    """Run until SIGTERM or SIGINT. Raises ServeError when it cannot start."""
    text = wants_text(config.log.format)
    writer = LineWriter(sys.stderr)
    start_logging(writer, config.log.level, text=text)
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
    async with running(config, sink, stop) as server:
        log.info(
            "mirror listens on %s:%d, data in %s", config.listen.host, server.port, config.data
        )
        await stop.wait()
        log.info("stopping; answers under way have %s", config.timeouts.drain)
    return 0


@asynccontextmanager
async def running(
    config: Config, sink: AccessSink, stopping: asyncio.Event
) -> AsyncIterator[Server]:
    """A server that listens, with everything it needs; on leaving all of it ends in order.

    Nothing is asked of the network. Raises ServeError.
    """
    try:
        async with AsyncExitStack() as stack:
            services = await _services(config, stopping, stack)
            settings = ServerSettings(
                config.listen.host,
                config.listen.port,
                config.timeouts.keepalive.total_seconds(),
                config.timeouts.drain.total_seconds(),
            )
            server = Server(make_application(services), settings, sink)
            await server.start()
            stack.push_async_callback(server.stop)
            yield server
    except (StorageError, MetadataError, DataFolderError, ListenError) as error:
        raise ServeError(str(error)) from error


async def _services(config: Config, stopping: asyncio.Event, stack: AsyncExitStack) -> Services:
    clock = SystemClock()
    FilesystemBlobStore.prepare(config.data)
    stack.enter_context(locked(config.data))
    store = FilesystemBlobStore(config.data, clock)
    metadata = CachedMetadata(await open_sqlite(config.data / "metadata.db"))
    stack.push_async_callback(metadata.close)
    statistics, usage, using = Statistics(), Usage(clock), InUse()
    registries = make_registries(config, clock, instance=uuid.uuid4().hex[:12])
    for registry in registries.by_name.values():
        stack.push_async_callback(registry.upstream.close)
    limits = Limits(config.cache.max_size, config.cache.low_size, config.cache.min_free)
    housekeeping = Housekeeping(
        HousekeepingPorts(store, metadata, clock, statistics, usage, limits)
    )
    await housekeeping.start()
    stack.push_async_callback(housekeeping.flush)
    blobs = Blobs(
        BlobPorts(
            store, metadata, metadata, registries, clock, usage, statistics, housekeeping, _pause
        )
    )
    held = HeldManifests(store, metadata, metadata, clock, usage)
    manifests = Manifests(
        ManifestPorts(held, metadata, registries, clock, statistics, config.timeouts.stale_after)
    )
    stack.push_async_callback(blobs.close)
    stack.push_async_callback(manifests.close)
    protections = (
        unreachable_upstreams(registries.frozen),
        in_use(lambda digest: digest in using or digest in blobs.filling()),
        used_just_now(usage),
    )
    housekeeping.evict_with(
        Eviction(
            EvictionPorts(
                metadata,
                store,
                clock,
                statistics,
                protections,
                housekeeping.flush,
                housekeeping.removed,
            )
        )
    )
    for loop in (housekeeping.keep_counts, housekeeping.keep_limits, housekeeping.keep_clean):
        task = asyncio.create_task(loop(), name=loop.__name__)
        stack.push_async_callback(_end, task)
    return Services(
        router=make_router(config),
        manifests=manifests,
        blobs=blobs,
        in_use=using,
        registries=registries,
        housekeeping=housekeeping,
        inventory=metadata,
        store=store,
        limits=limits,
        statistics=statistics,
        access=TrustedNetworks(config.auth.trusted_networks),
        clock=clock,
        ready=lambda: "stopping" if stopping.is_set() else None,
        write_timeout=config.timeouts.write,
    )


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _pause(failures: int) -> None:
    """Before a download is resumed: longer each time, and not all at the same moment."""
    await asyncio.sleep(min(0.2 * 2**failures, 5.0) * (0.5 + random.random() / 2))  # noqa: S311 - spreads load, guards nothing
