"""Blobs in memory: for tests, and to show what the port means without files."""

import hashlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime

from mirror.oci.digest import Digest, Hasher, digest_of
from mirror.ports.blobs import INGEST_ID, DigestMismatch, Space, StorageError, StorageFull
from mirror.ports.clock import Clock

_PUT = ".put"


@dataclass(frozen=True, slots=True)
class _Blob:
    content: bytes
    arrived_at: datetime


@dataclass(slots=True)
class _Growing:
    """The bytes of an ingest, which outlive it unless it ends."""

    written_at: datetime
    content: bytearray = field(default_factory=bytearray)
    is_open: bool = True


class OpenBytes:
    """An ``OpenBlob`` that is held in memory."""

    def __init__(self, content: bytes) -> None:
        self._content: bytes | None = content
        self._size = len(content)

    @property
    def size(self) -> int:
        return self._size

    async def pieces(self, start: int, stop: int) -> AsyncIterator[bytes]:
        if self._content is None:
            raise StorageError("the blob is closed")
        for piece in _pieces(self._content, start, stop):
            yield piece

    def close(self) -> None:
        self._content = None


class MemoryBlobStore:
    """A ``BlobStore`` that lives as long as the object. ``capacity`` is in bytes."""

    def __init__(self, clock: Clock, capacity: int = 1 << 30) -> None:
        self._clock = clock
        self._capacity = capacity
        self._blobs: dict[Digest, _Blob] = {}
        self._ingests: dict[str, _Growing] = {}

    def open(self, digest: Digest) -> OpenBytes | None:
        blob = self._blobs.get(digest)
        return None if blob is None else OpenBytes(blob.content)

    async def read(self, digest: Digest, limit: int) -> bytes | None:
        blob = self._blobs.get(digest)
        if blob is None:
            return None
        if len(blob.content) > limit:
            raise StorageError(f"a blob of {len(blob.content)} bytes is longer than {limit}")
        return blob.content

    async def ingest(self, ingest_id: str) -> "MemoryIngest":
        if INGEST_ID.fullmatch(ingest_id) is None:
            raise ValueError("an ingest id is 1 to 128 letters, digits, - and _")
        growing = self._ingests.get(ingest_id)
        if growing is None:
            growing = self._ingests[ingest_id] = _Growing(self._clock.now())
        elif growing.is_open:
            raise StorageError("cannot begin an ingest: it is open already")
        growing.is_open = True
        return MemoryIngest(self, ingest_id, growing)

    async def resume(self, ingest_id: str, unless_before: datetime) -> "MemoryIngest | None":
        growing = self._ingests.get(ingest_id)
        if INGEST_ID.fullmatch(ingest_id) and growing is None:
            return None
        if growing is not None and not growing.is_open and growing.written_at < unless_before:
            return None
        return await self.ingest(ingest_id)

    async def put(self, digest: Digest, content: bytes) -> None:
        with closing(MemoryIngest(self, _PUT, _Growing(self._clock.now()))) as ingest:
            await ingest.write(content)
            await ingest.publish(digest)

    async def delete(self, digest: Digest) -> bool:
        return self._blobs.pop(digest, None) is not None

    async def delete_all(self, digests: Sequence[Digest]) -> Sequence[Digest]:
        for digest in digests:
            self._blobs.pop(digest, None)
        return ()

    async def quarantine(self, digest: Digest, reason: str) -> bool:  # noqa: ARG002 - no operator looks in here
        return self._blobs.pop(digest, None) is not None

    async def list_blobs(self, shard: int) -> Sequence[tuple[Digest, int, datetime]]:
        if not 0 <= shard < 256:  # noqa: PLR2004 - the number of values of two hex digits
            raise ValueError(f"shard {shard} is not one of 256")
        return [
            (digest, len(blob.content), blob.arrived_at)
            for digest, blob in self._blobs.items()
            if int(digest.encoded[:2], 16) == shard
        ]

    async def sweep_ingests(self, older_than: datetime, prefix: str = "") -> int:
        swept = {
            ingest_id: len(growing.content)
            for ingest_id, growing in self._ingests.items()
            if ingest_id.startswith(prefix)
            and not growing.is_open
            and growing.written_at < older_than
        }
        for ingest_id in swept:
            del self._ingests[ingest_id]
        return sum(swept.values())

    def space(self) -> Space:
        stored = sum(len(blob.content) for blob in self._blobs.values())
        growing = sum(len(growing.content) for growing in self._ingests.values())
        return Space(max(0, self._capacity - stored - growing), self._capacity)

    def publish(self, digest: Digest, content: bytes) -> None:
        """Called by an ingest, which has verified the content."""
        self._blobs[digest] = _Blob(content, self._clock.now())

    def now(self) -> datetime:
        """Called by an ingest: when it was written to."""
        return self._clock.now()

    def forget(self, ingest_id: str) -> None:
        """Called by an ingest that has ended."""
        self._ingests.pop(ingest_id, None)


class MemoryIngest:
    """An ``Ingest`` in memory."""

    def __init__(self, store: MemoryBlobStore, ingest_id: str, growing: _Growing) -> None:
        self._store = store
        self._id = ingest_id
        self._growing = growing
        self._ended = False
        self._closed = False

    @property
    def offset(self) -> int:
        return len(self._growing.content)

    async def write(self, *chunks: bytes) -> None:
        self._check_going_on()
        content = b"".join(chunks)
        if len(content) > self._store.space().free:
            raise StorageFull("cannot write a blob: no room left in memory")
        self._growing.content += content
        self._growing.written_at = self._store.now()

    async def written(self, start: int, stop: int) -> AsyncIterator[bytes]:
        if self._closed:
            raise StorageError("the ingest is closed")
        for piece in _pieces(self._growing.content, start, stop):
            yield piece

    def digest(self) -> Digest:
        return digest_of(bytes(self._growing.content))

    def hasher(self) -> Hasher:
        return hashlib.sha256(self._growing.content)

    async def verify(self, digest: Digest) -> None:
        actual = digest_of(bytes(self._growing.content), digest.algorithm)
        if actual != digest:
            raise DigestMismatch(digest, actual)

    async def hash_range(self, start: int, stop: int) -> str:
        content = b"".join(_pieces(self._growing.content, start, stop))
        return hashlib.sha256(content).hexdigest()

    async def publish(self, digest: Digest, *rest: bytes) -> None:
        await self.write(*rest)
        await self.verify(digest)
        self._store.publish(digest, bytes(self._growing.content))
        self._end()

    async def abort(self) -> None:
        if not self._ended:
            self._end()

    async def quarantine(self, reason: str) -> None:  # noqa: ARG002 - no operator looks in here
        self._check_going_on()
        self._end()

    def close(self) -> None:
        self._closed = True
        if not self._ended:
            self._ended = True
            self._growing.is_open = False

    def _end(self) -> None:
        self._ended = True
        self._store.forget(self._id)

    def _check_going_on(self) -> None:
        if self._ended:
            raise StorageError("the ingest has ended")


def _pieces(content: bytes | bytearray, start: int, stop: int) -> Iterator[bytes]:
    if not 0 <= start <= stop <= len(content):
        raise StorageError(f"bytes {start} to {stop} were asked of {len(content)}")
    if start < stop:
        yield bytes(content[start:stop])
