"""Blobs of proxied repositories: served from the store, or filled from the upstream.

A blob that is stored is served in a repository only when that repository links it: its manifests
name it, or its upstream was asked. Possession is not permission.
"""

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Protocol

from cachetools import TTLCache

from mirror.flight import SingleFlight
from mirror.oci.digest import Digest
from mirror.oci.errors import BlobUnknown
from mirror.ports.blobs import BlobStore, OpenBlob, StorageBusy, StorageError
from mirror.ports.clock import Clock
from mirror.ports.metadata import BlobLinks, BlobRecord, MetadataError, Use
from mirror.ports.repository import Repository
from mirror.ports.upstream import Upstream, UpstreamError, UpstreamUnreachable
from mirror.registry.answer import BlobAnswer, Handling
from mirror.registry.custody import Custody
from mirror.registry.fill import Fill, FillPlan
from mirror.registry.follow import FillFailed
from mirror.registry.proxied import ProxiedRegistries, stopping
from mirror.registry.refusal import refuse
from mirror.registry.routing import Route, upstream_route
from mirror.registry.shared_ingest import FillIngests
from mirror.registry.statistics import Result, Statistics
from mirror.registry.usage import Usage

log = logging.getLogger(__name__)

HIT = Handling(Result.HIT)

LATELY = 15.0
"""Seconds for which clients that only want to know of a blob hear what the upstream last said."""

MOST_TOLD = 10_000

ATTEMPTS = 3
"""Downloads that other repositories began which one request may see failing."""


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
    custody: Custody
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
        self._ingests = FillIngests(ports.store)
        self._fills: dict[Digest, _Owned] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._sizes: SingleFlight[tuple[Repository, Digest], int | None] = SingleFlight(stopping)
        self._lately: TTLCache[tuple[Repository, Digest], tuple[int | None]] = TTLCache(
            MOST_TOLD, LATELY, timer=ports.clock.monotonic
        )
        self._damages: SingleFlight[Digest, None] = SingleFlight(stopping)

    async def get(self, route: Route, digest: Digest) -> BlobAnswer:
        """The blob, opened for reading. Raises OCIError when it cannot be served."""
        route = upstream_route(route)
        try:
            return await self._get(route.repository, digest)
        except FillFailed as failed:
            raise refuse("blob", route.approach, failed.error) from failed
        except UpstreamError as error:
            raise refuse("blob", route.approach, error) from error

    async def head(self, route: Route, digest: Digest) -> BlobAnswer:
        """The size of the blob, without downloading it. Raises OCIError when it is not there."""
        route = upstream_route(route)
        repository = route.repository
        try:
            found = (
                await self._filled(repository, digest)
                or await self._held(repository, digest)
                or await self._told(repository, digest)
            )
        except FillFailed as failed:
            raise refuse("blob", route.approach, failed.error) from failed
        except UpstreamError as error:
            raise refuse("blob", route.approach, error) from error
        if found is None:
            raise BlobUnknown(detail={"digest": str(digest)})
        if found.blob is not None:
            found.blob.close()
        return replace(found, blob=None)

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
        await self._sizes.close()
        await self._damages.close()

    # What is here.

    async def _held(self, repository: Repository, digest: Digest) -> BlobAnswer | None:
        """The stored blob. Raises BlobUnknown when the repository does not have it."""
        opened = self._open(digest)
        if opened is None:
            return None
        served = False
        try:
            served = await self._may_serve(repository, BlobRecord(digest, opened.size))
        finally:
            if not served:
                opened.close()
        if not served:
            return None
        self._ports.usage.touch(Use(None, digest))
        return BlobAnswer(repository, digest, opened.size, opened, HIT)

    def _open(self, digest: Digest) -> OpenBlob | None:
        """Raises StorageBusy: it may well be here, and the upstream is not to make up for us."""
        try:
            return self._ports.store.open(digest)
        except StorageBusy:
            raise
        except StorageError as error:
            log.error("%s cannot be opened, asking the upstream for it: %s", digest, error)  # noqa: TRY400 - the trace says nothing more
            return None

    async def _may_serve(self, repository: Repository, found: BlobRecord) -> bool:
        """Whether the file is what was recorded, and the repository has the blob.

        A file without a row was verified before it got its name, and is recorded now; but nothing
        vouches for its length, so that must be the one its manifest or its upstream tells.
        """
        links = self._ports.links
        record = await links.get_blob(repository, found.digest)
        if record is not None:
            return await self._is_sound(record, found)
        record = await links.get_stored(found.digest)
        if record is not None and not await self._is_sound(record, found):
            return False
        size = await links.linked_size(repository, found.digest)
        if size is None:
            size = await self._measure(repository, found.digest)
        if size is None:
            raise BlobUnknown(detail={"digest": str(found.digest)})
        if record is None and size != found.size:
            return False
        return await self._record_found(repository, found)

    async def _record_found(self, repository: Repository, found: BlobRecord) -> bool:
        """Unless its file went since it was opened: it is fetched again then."""
        ports = self._ports
        async with ports.custody.arriving(found.digest):
            if not self._arrived(found.digest):
                return False
            await _record(ports.links.put_blob(repository, found, ports.clock.now()))
        return True

    async def _is_sound(self, record: BlobRecord, found: BlobRecord) -> bool:
        if record == found:
            return True
        await self._damages.run(found.digest, functools.partial(self._set_aside, record))
        return False

    async def _set_aside(self, record: BlobRecord) -> None:
        with self._ports.custody.leaving([record.digest]) as free:
            if free:
                await self._quarantine(record)

    async def _quarantine(self, record: BlobRecord) -> None:
        """Take a file of another length than recorded out of service, to be fetched again."""
        opened = self._open(record.digest)
        if opened is None:
            return
        opened.close()
        if opened.size == record.size:
            return
        reason = f"{opened.size} bytes on disk, {record.size} recorded"
        log.error("%s is damaged: %s", record.digest, reason)
        self._ports.statistics.counted("quarantined")
        # The row first: who finds the file gone fetches it again, and records it anew.
        await _record(self._ports.links.forget_blob(record.digest))
        try:
            await self._ports.store.quarantine(record.digest, reason)
        except StorageError as error:
            log.warning("%s could not be quarantined: %s", record.digest, error)

    async def _told(self, repository: Repository, digest: Digest) -> BlobAnswer | None:
        """What the upstream tells, or told a moment ago. Nothing is served on the strength of it:
        what it no longer has, a download would not find.
        """
        key, handling = (repository, digest), HIT
        lately = self._lately.get(key)
        if lately is None:
            lately = self._lately[key] = (await self._measure(repository, digest),)
            handling = Handling(Result.MISS, stored=False)
        (size,) = lately
        return None if size is None else BlobAnswer(repository, digest, size, None, handling)

    async def _measure(self, repository: Repository, digest: Digest) -> int | None:
        """The size the upstream tells, asked once for all who want to know just now."""
        upstream = self._upstream(repository)
        return await self._sizes.run(
            (repository, digest), functools.partial(upstream.head_blob, repository.name, digest)
        )

    def _upstream(self, repository: Repository) -> Upstream:
        registries = self._ports.registries
        if registries.offline:
            raise BlobUnknown("the blob is not cached and this mirror is offline")
        return registries[repository.upstream or ""].upstream

    # What is not.

    async def _get(self, repository: Repository, digest: Digest) -> BlobAnswer:
        for attempt in range(ATTEMPTS):
            here = await self._filled(repository, digest) or await self._held(repository, digest)
            if here is not None:
                return here
            announced = await self._ports.links.linked_size(repository, digest)
            # Nothing waits from here on until the fill is joined: it might end meanwhile.
            owned = self._fills.get(digest)
            if owned is None:
                if attempt == 0 and self._arrived(digest):
                    continue
                owned = self._begin(repository, digest, announced)
            if owned.fill.failure is not None:
                await owned.fill.ended()
            elif owned.repository != repository:
                answer = await self._join_foreign(repository, owned, announced)
                if answer is not None:
                    return answer
            else:
                return await self._join_own(repository, owned.fill)
        raise UpstreamUnreachable("downloads of the blob keep failing")

    async def _filled(self, repository: Repository, digest: Digest) -> BlobAnswer | None:
        """The blob as it comes in for this repository, which is never asked for twice: not even
        between the moment at which its file is there and the one at which that is recorded.
        """
        owned = self._fills.get(digest)
        if owned is None or owned.repository != repository or owned.fill.failure is not None:
            return None
        return await self._join_own(repository, owned.fill)

    def _arrived(self, digest: Digest) -> bool:
        """Whether the blob was stored since it was looked for."""
        opened = self._open(digest)
        if opened is not None:
            opened.close()
        return opened is not None

    async def _join_foreign(
        self, repository: Repository, owned: _Owned, announced: int | None
    ) -> BlobAnswer | None:
        """Share a download that another repository began, if this one has the blob too.

        ``None`` when it came to nothing: its upstream may be in trouble where ours is not.
        """
        digest = owned.fill.digest
        if announced is None:
            if await self._measure(repository, digest) is None:
                raise BlobUnknown(detail={"digest": str(digest)})
            await _record(self._ports.links.link_blob(repository, digest))
        if self._fills.get(digest) is not owned:
            return None
        try:
            return await self._join(repository, owned.fill)
        except FillFailed as failed:
            log.info("the fill of %s from %s failed: %s", digest, owned.repository, failed.error)
            return None

    async def _join_own(self, repository: Repository, fill: Fill) -> BlobAnswer:
        answer = await self._join(repository, fill)
        if answer is None:
            raise BlobUnknown(detail={"digest": str(fill.digest)})
        return answer

    async def _join(self, repository: Repository, fill: Fill) -> BlobAnswer | None:
        """``None`` when the upstream of the fill does not have the blob. Raises FillFailed."""
        reader = fill.join()
        size = None
        try:
            size = await fill.opened()
        finally:
            if size is None:
                reader.close()
        if size is None:
            return None
        handling = Handling(Result.MISS, stored=fill.storing)
        return BlobAnswer(repository, fill.digest, size, reader, handling)

    def _begin(self, repository: Repository, digest: Digest, announced: int | None) -> _Owned:
        upstream = self._upstream(repository)
        ports = self._ports
        plan = FillPlan(
            digest=digest,
            source=functools.partial(upstream.open_blob, repository.name, digest),
            ingest=functools.partial(self._ingests.take, digest),
            size=announced,
            measure=functools.partial(self._measure, repository, digest),
            admit=ports.room.make_room,
            received=functools.partial(self._received, repository.upstream or ""),
            stored=functools.partial(self._stored, repository, digest),
            custody=ports.custody,
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


async def _record(writing: Awaitable[object]) -> None:
    """A fact that cannot be written costs the fact, not the answer."""
    try:
        await writing
    except MetadataError as error:
        log.warning("a fact about a blob could not be recorded: %s", error)
