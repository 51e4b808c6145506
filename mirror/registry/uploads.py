"""Blobs on their way into hosted repositories: begun, appended to, finished, mounted, cancelled.

An upload is the ingest whose id is made of the upload's own and the repository's name: it belongs
to one repository, outlives the process and needs no table. A blob is acknowledged when its bytes,
its row and its link are durable, in this order.
"""

import hashlib
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from mirror.oci.byte_range import ByteRange
from mirror.oci.digest import Digest
from mirror.oci.errors import (
    BlobUploadUnknown,
    DigestInvalid,
    RangeInvalid,
    SizeInvalid,
    TooManyRequests,
    Unavailable,
)
from mirror.ports.blobs import BlobStore, DigestMismatch, Ingest, StorageError, StorageFull
from mirror.ports.clock import Clock
from mirror.ports.metadata import BlobLinks, BlobRecord
from mirror.ports.repository import Repository
from mirror.registry.custody import Custody
from mirror.registry.open_uploads import MOST_OPEN, PREFIX, Busy, OpenUpload, OpenUploads
from mirror.registry.pour import pour

log = logging.getLogger(__name__)

RETRY_AFTER = 10
"""Seconds to wait where nothing is known of when it will be better."""

GLIMPSE = timedelta(seconds=1)

MOST_OWNERS = 100
"""Repositories that are looked at for one that may lend a blob."""


class OutOfOrder(RangeInvalid):
    """A chunk that does not begin where the upload ends."""

    def __init__(self, upload: "Upload") -> None:
        super().__init__(f"the upload has {upload.offset} bytes, and goes on there")
        self.upload = upload


@dataclass(frozen=True, slots=True)
class Upload:
    """``offset``: bytes received so far."""

    id: str
    offset: int


@dataclass(frozen=True, slots=True)
class Body:
    """Bytes that are sent. ``length`` is ``None`` when that is not known before they came,
    ``place`` where the sender says they belong.
    """

    chunks: AsyncIterator[bytes]
    length: int | None
    place: ByteRange | None = None


@dataclass(frozen=True, slots=True)
class Loan:
    """A blob that was mounted, and whose it was."""

    blob: BlobRecord
    lender: Repository


class Room(Protocol):
    """Keeps what is stored within its limits."""

    async def make_room_for_push(self, size: int) -> None:
        """Raises StorageFull when ``size`` more bytes may not be stored."""


class Links(BlobLinks, Protocol):
    """Who may serve a blob, and who has it already."""

    async def mount_blob(
        self, repository: Repository, digest: Digest, at: datetime
    ) -> BlobRecord | None: ...

    async def list_owners(self, digest: Digest, limit: int) -> Sequence[Repository]: ...


@dataclass(frozen=True, slots=True)
class UploadPorts:
    """What the use case works with. ``new_id`` gives 32 hex digits that nobody can guess."""

    store: BlobStore
    links: Links
    custody: Custody
    room: Room
    clock: Clock
    new_id: Callable[[], str]


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """``expiry``: for how long an upload may be idle. ``turn``: how long anybody waits for who is
    writing to the same upload; longer than a sender may stall. ``glimpse``: the same for who only
    wants to know how much has come. ``most_open``: files kept open for nobody.
    """

    expiry: timedelta
    turn: timedelta
    glimpse: timedelta = GLIMPSE
    most_open: int = MOST_OPEN


class Uploads:
    """For every client at once. What is raised is an OCIError, or a MetadataError."""

    def __init__(self, ports: UploadPorts, limits: UploadLimits) -> None:
        self._ports = ports
        self._limits = limits
        self._open = OpenUploads(ports.store, ports.clock, limits.expiry, limits.most_open)

    async def start(self, repository: Repository) -> Upload:
        """An upload of no bytes, which a restart of the server leaves as it is."""
        upload_id = self._ports.new_id()
        with _as_oci_errors():
            await self._open.begin(_ingest_id(repository, upload_id))
        return Upload(upload_id, 0)

    async def status(self, repository: Repository, upload_id: str) -> Upload:
        """How much of it has come. While somebody writes to it, that may be more a moment later.

        Raises TooManyRequests while it is being read again, which comes after a restart.
        """
        try:
            async with self._hold(repository, upload_id, self._limits.glimpse) as (_, ingest):
                return Upload(upload_id, ingest.offset)
        except TooManyRequests:
            offset = self._open.offset(_ingest_id(repository, upload_id))
            if offset is None:
                raise
            return Upload(upload_id, offset)

    async def append(self, repository: Repository, upload_id: str, body: Body) -> Upload:
        """Add bytes at the end. Where they break off, those that came stay.

        Raises OutOfOrder and SizeInvalid; the upload can be gone on with.
        """
        async with self._hold(repository, upload_id) as (upload, ingest):
            rest = await self._take(Upload(upload_id, ingest.offset), upload, ingest, body)
            if rest:
                with _let_go_when_lost(upload):
                    await ingest.write(*rest)
            return Upload(upload_id, ingest.offset)

    async def finish(
        self, repository: Repository, upload_id: str, body: Body, digest: Digest
    ) -> BlobRecord:
        """Add bytes at the end, and make all of them a blob of the repository.

        Raises DigestInvalid, and forgets the upload, when they are not what the digest says.
        """
        async with self._hold(repository, upload_id) as (upload, ingest):
            rest = await self._take(Upload(upload_id, ingest.offset), upload, ingest, body)
            return await self._publish(upload, ingest, rest, repository, digest)

    async def push(self, repository: Repository, body: Body, digest: Digest) -> BlobRecord:
        """A blob in one go. Whatever fails, nothing of it stays."""
        started = await self.start(repository)
        try:
            return await self.finish(repository, started.id, body, digest)
        except BaseException:
            await self._discard(repository, started.id)
            raise

    async def cancel(self, repository: Repository, upload_id: str) -> None:
        """Forget it and its bytes."""
        async with self._hold(repository, upload_id) as (upload, _):
            await upload.end()

    async def mount(
        self, repository: Repository, digest: Digest, lenders: Sequence[Repository]
    ) -> Loan | None:
        """Take over a blob that one of the lenders may serve; ``None``: there is no such a one."""
        for lender in lenders:
            found = await self._ports.links.get_blob(lender, digest)
            if found is not None:
                is_linked = await self._link(repository, found)
                return Loan(found, lender) if is_linked else None
        return None

    async def owners(self, digest: Digest) -> Sequence[Repository]:
        """Repositories, hosted or proxied, that have the blob; not all of very many."""
        return await self._ports.links.list_owners(digest, MOST_OWNERS)

    async def sweep(self) -> int:
        """Remove uploads that were idle for too long; in bytes. Raises StorageError."""
        return await self._open.sweep()

    def close(self) -> None:
        """Let go of all files. The uploads can be gone on with after the next start."""
        self._open.close()

    @asynccontextmanager
    async def _hold(
        self, repository: Repository, upload_id: str, patience: timedelta | None = None
    ) -> AsyncIterator[tuple[OpenUpload, Ingest]]:
        ingest_id = _ingest_id(repository, upload_id)
        seconds = (patience or self._limits.turn).total_seconds()
        try:
            with _as_oci_errors():
                async with self._open.hold(ingest_id, seconds) as upload:
                    if upload.ingest is None:
                        raise BlobUploadUnknown(detail={"id": upload_id})
                    yield upload, upload.ingest
        except Busy:
            raise TooManyRequests(
                "somebody else is writing to this upload", retry_after=RETRY_AFTER
            ) from None

    async def _take(
        self, so_far: Upload, upload: OpenUpload, ingest: Ingest, body: Body
    ) -> Sequence[bytes]:
        """Write all but the last few bytes. Those can go with what comes next: see ``pour``."""
        _check_place(so_far, body)
        if body.length == 0:
            return ()
        make_room = self._ports.room.make_room_for_push
        if body.length is not None:
            await make_room(body.length)
        admit = make_room if body.length is None else _no_more_room_needed
        with _let_go_when_lost(upload):
            return await pour(_measured(body), ingest, admit)

    async def _publish(
        self,
        upload: OpenUpload,
        ingest: Ingest,
        rest: Sequence[bytes],
        repository: Repository,
        digest: Digest,
    ) -> BlobRecord:
        blob = BlobRecord(digest, ingest.offset + sum(map(len, rest)))
        try:
            async with self._ports.custody.arriving(digest):
                await self._store(upload, ingest, rest, blob)
                await self._ports.links.put_blob(repository, blob, self._ports.clock.now())
        except DigestMismatch as mismatch:
            await upload.end()
            raise DigestInvalid(
                f"the content is {mismatch.actual}, not {digest}", {"digest": str(digest)}
            ) from None
        except StorageError:
            upload.let_go()
            raise
        await upload.end()
        return blob

    async def _store(
        self, upload: OpenUpload, ingest: Ingest, rest: Sequence[bytes], blob: BlobRecord
    ) -> None:
        """Make it durable, unless that was done before: for this upload or for another one."""
        if self._has_file(blob):
            if rest:
                await ingest.write(*rest)
                rest = ()
            await ingest.verify(blob.digest)
            if upload.is_published or await self._is_recorded(blob):
                return
        await ingest.publish(blob.digest, *rest)
        upload.is_published = True

    async def _is_recorded(self, blob: BlobRecord) -> bool:
        return await self._ports.links.get_stored(blob.digest) == blob

    def _has_file(self, blob: BlobRecord) -> bool:
        opened = self._ports.store.open(blob.digest)
        if opened is None:
            return False
        opened.close()
        return opened.size == blob.size

    async def _link(self, repository: Repository, blob: BlobRecord) -> bool:
        async with self._ports.custody.arriving(blob.digest):
            with _as_oci_errors():
                if not self._has_file(blob):
                    return False
            now = self._ports.clock.now()
            return await self._ports.links.mount_blob(repository, blob.digest, now) is not None

    async def _discard(self, repository: Repository, upload_id: str) -> None:
        try:
            await self.cancel(repository, upload_id)
        except (BlobUploadUnknown, Unavailable, TooManyRequests) as error:
            log.debug("an upload that failed was not there to be removed: %s", error)


def _ingest_id(repository: Repository, upload_id: str) -> str:
    owner = hashlib.sha256(str(repository).encode()).hexdigest()
    return f"{PREFIX}{upload_id}-{owner[:16]}"


def _check_place(so_far: Upload, body: Body) -> None:
    if body.place is None:
        return
    if body.place.start != so_far.offset:
        raise OutOfOrder(so_far)
    if body.length is not None and body.length != body.place.length:
        raise SizeInvalid(f"{body.length} bytes are sent for a range of {body.place.length}")


async def _measured(body: Body) -> AsyncIterator[bytes]:
    """As many bytes as were announced. Raises SizeInvalid when they are more or fewer."""
    if body.place is None:
        async for chunk in body.chunks:
            yield chunk
        return
    left = body.place.length
    async for chunk in body.chunks:
        yield chunk[:left]
        if len(chunk) > left:
            raise SizeInvalid(f"more is sent than the range of {body.place.length} bytes")
        left -= len(chunk)
    if left:
        raise SizeInvalid(f"{left} bytes of the range of {body.place.length} are missing")


async def _no_more_room_needed(_size: int) -> None:
    """All of it was asked for before."""


@contextmanager
def _let_go_when_lost(upload: OpenUpload) -> Iterator[None]:
    """What is on disk after a failure, nobody knows but the disk. What is full has not failed."""
    try:
        yield
    except StorageFull:
        raise
    except StorageError:
        upload.let_go()
        raise


@contextmanager
def _as_oci_errors() -> Iterator[None]:
    try:
        yield
    except StorageFull as error:
        raise Unavailable(
            f"there is no room for the upload: {error}; it goes on once there is",
            retry_after=RETRY_AFTER,
        ) from error
    except StorageError as error:
        raise Unavailable(
            f"the upload could not be stored: {error}", retry_after=RETRY_AFTER
        ) from error
