"""Blobs of proxied repositories: served from the store, or filled from the upstream.

A blob that is stored is served in a repository only when that repository links it: its manifests
name it, or its upstream was asked. Possession is not permission.
"""

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from mirror.oci.digest import Digest
from mirror.oci.errors import BlobUnknown
from mirror.ports.blobs import BlobStore, OpenBlob
from mirror.ports.clock import Clock
from mirror.ports.metadata import BlobLinks, BlobRecord, Use
from mirror.ports.repository import Repository
from mirror.ports.upstream import Upstream, UpstreamError
from mirror.registry.answer import BlobAnswer, Handling
from mirror.registry.fill import Fill, FillPlan
from mirror.registry.follow import FillFailed
from mirror.registry.proxied import ProxiedRegistries
from mirror.registry.refusal import refuse
from mirror.registry.routing import Route, upstream_route
from mirror.registry.statistics import Result, Statistics
from mirror.registry.usage import Usage

log = logging.getLogger(__name__)

HIT = Handling(Result.HIT)


class Room(Protocol):
    """Keeps what is stored within its limits."""

    async def make_room(self, size: int) -> None:
        """Raises StorageFull when ``size`` more bytes may not be stored."""

    def added(self, size: int) -> None:
        """``size`` bytes were stored."""


@dataclass(frozen=True, slots=True)
class BlobPorts:
    """What the use case works with. ``pause`` waits after so many failures in a row."""

    store: BlobStore
    links: BlobLinks
    registries: ProxiedRegistries
    clock: Clock
    usage: Usage
    statistics: Statistics
    room: Room
    pause: Callable[[int], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Owned:
    """A fill and the repository whose upstream it draws from."""

    repository: Repository
    fill: Fill


class Blobs:
    """Get and head, for every client at once; owns the fills."""

    def __init__(self, ports: BlobPorts) -> None:
        self._ports = ports
        self._fills: dict[Digest, _Owned] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def get(self, route: Route, digest: Digest) -> BlobAnswer:
        """The blob, opened for reading. Raises OCIError when it cannot be served."""
        route = upstream_route(route)
        try:
            while True:
                held = await self._held(route.repository, digest)
                answer = held or await self._fill(route.repository, digest)
                if answer is not None:
                    return answer
        except FillFailed as failed:
            raise refuse("blob", route.approach, failed.error) from failed
        except UpstreamError as error:
            raise refuse("blob", route.approach, error) from error

    async def head(self, route: Route, digest: Digest) -> BlobAnswer:
        """The size of the blob, without downloading it. Raises OCIError when it is not there."""
        route = upstream_route(route)
        repository = route.repository
        held = await self._held(repository, digest)
        if held is not None:
            if held.blob is not None:
                held.blob.close()
            return BlobAnswer(repository, digest, held.size, None, HIT)
        try:
            size = await self._measure(repository, digest)
        except UpstreamError as error:
            raise refuse("blob", route.approach, error) from error
        if size is None:
            raise BlobUnknown(detail={"digest": str(digest)})
        return BlobAnswer(repository, digest, size, None, Handling(Result.MISS, stored=False))

    def filling(self) -> frozenset[Digest]:
        """What is being downloaded now."""
        return frozenset(self._fills)

    def is_filling(self, digest: Digest) -> bool:
        return digest in self._fills

    async def close(self) -> None:
        """Stop every fill; what they wrote stays for the next start to resume from."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # What is here.

    async def _held(self, repository: Repository, digest: Digest) -> BlobAnswer | None:
        on_disk = self._on_disk(digest)
        if on_disk is None:
            # Whatever rows say: without the file they have to be asked for nothing.
            return None
        record = await self._ports.links.get_blob(repository, digest)
        if record is not None:
            opened = await self._open(record)
            return None if opened is None else self._hit(repository, digest, opened)
        # Without a row it is a file that was verified before it got its name.
        stored = await self._ports.links.get_stored(digest) or on_disk
        if not await self._permitted(repository, digest):
            raise BlobUnknown(detail={"digest": str(digest)})
        opened = await self._open(stored)
        if opened is None:
            return None
        await self._ports.links.put_blob(repository, stored, self._ports.clock.now())
        return self._hit(repository, digest, opened)

    def _on_disk(self, digest: Digest) -> BlobRecord | None:
        opened = self._ports.store.open(digest)
        if opened is None:
            return None
        opened.close()
        return BlobRecord(digest, opened.size)

    async def _open(self, record: BlobRecord) -> OpenBlob | None:
        """The stored bytes, if they are still what was recorded; else they are forgotten."""
        opened = self._ports.store.open(record.digest)
        if opened is not None and opened.size == record.size:
            return opened
        if opened is None:
            log.warning("%s is recorded but its file is gone", record.digest)
        else:
            opened.close()
            reason = f"{opened.size} bytes on disk, {record.size} recorded"
            log.error("%s is damaged: %s", record.digest, reason)
            await self._ports.store.quarantine(record.digest, reason)
            self._ports.statistics.counted("quarantined")
        await self._ports.links.forget_blob(record.digest)
        return None

    def _hit(self, repository: Repository, digest: Digest, opened: OpenBlob) -> BlobAnswer:
        self._ports.usage.touch(Use(None, digest))
        return BlobAnswer(repository, digest, opened.size, opened, HIT)

    async def _permitted(self, repository: Repository, digest: Digest) -> bool:
        """Whether the repository has the blob, which another one brought here."""
        if await self._ports.links.linked_size(repository, digest) is not None:
            return True
        return await self._measure(repository, digest) is not None

    async def _measure(self, repository: Repository, digest: Digest) -> int | None:
        upstream = self._upstream(repository)
        return await upstream.head_blob(repository.name, digest)

    def _upstream(self, repository: Repository) -> Upstream:
        registries = self._ports.registries
        if registries.offline:
            raise BlobUnknown("the blob is not cached and this mirror is offline")
        return registries[repository.upstream or ""].upstream

    # What is not.

    async def _fill(self, repository: Repository, digest: Digest) -> BlobAnswer | None:
        """``None`` when a fill brought it between looking for it and asking for it."""
        announced = await self._ports.links.linked_size(repository, digest)
        owned = self._fills.get(digest)
        if owned is not None and owned.repository != repository:
            try:
                return await self._join_foreign(repository, owned.fill, announced)
            except FillFailed:
                # Its upstream may be in trouble where ours is not.
                log.info("joining the fill of %s from %s failed", digest, owned.repository)
        owned = self._fills.get(digest)
        if owned is None:
            self._upstream(repository)
            if self._on_disk(digest) is not None:
                return None
            owned = self._begin(repository, digest, announced)
        return await self._join(repository, owned.fill)

    async def _join_foreign(
        self, repository: Repository, fill: Fill, announced: int | None
    ) -> BlobAnswer:
        """Share a download that another repository began, if this one has the blob too."""
        if announced is None and await self._measure(repository, fill.digest) is None:
            raise BlobUnknown(detail={"digest": str(fill.digest)})
        answer = await self._join(repository, fill)
        await self._ports.links.link_blob(repository, fill.digest)
        return answer

    async def _join(self, repository: Repository, fill: Fill) -> BlobAnswer:
        reader = fill.join()
        try:
            size = await fill.opened()
            if size is None:
                raise BlobUnknown(detail={"digest": str(fill.digest)})
        except BaseException:
            reader.close()
            raise
        handling = Handling(Result.MISS, stored=fill.storing)
        return BlobAnswer(repository, fill.digest, size, reader, handling)

    def _begin(self, repository: Repository, digest: Digest, announced: int | None) -> _Owned:
        upstream = self._upstream(repository)
        ports = self._ports
        plan = FillPlan(
            digest=digest,
            source=functools.partial(upstream.open_blob, repository.name, digest),
            ingest=functools.partial(
                ports.store.ingest, f"fill-{digest.algorithm}-{digest.encoded}"
            ),
            size=announced,
            admit=ports.room.make_room,
            received=functools.partial(self._received, repository.upstream or ""),
            stored=functools.partial(self._stored, repository, digest),
            pause=ports.pause,
        )
        owned = self._fills[digest] = _Owned(repository, Fill(plan))
        task = asyncio.create_task(self._run(owned.fill), name=f"fill {digest}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return owned

    async def _run(self, fill: Fill) -> None:
        try:
            await fill.run()
        finally:
            del self._fills[fill.digest]

    def _received(self, upstream: str, count: int) -> None:
        self._ports.statistics.fetched(upstream, "blob", count)

    async def _stored(self, repository: Repository, digest: Digest, size: int) -> None:
        now = self._ports.clock.now()
        await self._ports.links.put_blob(repository, BlobRecord(digest, size), now)
        self._ports.room.added(size)
        self._ports.usage.touch(Use(None, digest))
