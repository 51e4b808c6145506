"""Content-addressed bytes: where they rest and how they come in. Knows no repository.

A blob is visible only after its digest was verified and its bytes are durable; it never changes
afterwards. An ingest is a blob that is still being written.
"""

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Protocol

from mirror.oci.digest import Digest, Hasher

INGEST_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
"""To be matched in full."""


class StorageError(Exception):
    """The store could not do what was asked. Never means "not there"."""


class StorageFull(StorageError):
    """No room for more bytes (ENOSPC, EDQUOT, EFBIG), or the store is read-only (EROFS)."""


class StorageBusy(StorageError):
    """Not now, for want of descriptors (EMFILE, ENFILE). Says nothing of what is stored."""


class DigestMismatch(Exception):
    """The bytes are not the ones the digest names. ``actual`` is what they are."""

    def __init__(self, expected: Digest, actual: Digest) -> None:
        super().__init__(f"expected {expected}, got {actual}")
        self.expected = expected
        self.actual = actual


@dataclass(frozen=True, slots=True)
class FileSlice:
    """The bytes ``start`` to ``stop`` (half open) of an open file, for ``sendfile``.

    Whoever opened the file closes it. Positions are absolute and the file's own offset belongs to
    nobody: readers share the file, so ``seek`` and ``read`` would mix up their bytes; use
    ``sendfile`` or ``pread``.
    """

    file: BinaryIO
    start: int
    stop: int

    @property
    def length(self) -> int:
        return self.stop - self.start


Piece = FileSlice | bytes
"""A run of content on its way to a client."""


class OpenBlob(Protocol):
    """A blob opened for reading. It stays readable until closed, also when it is deleted."""

    @property
    def size(self) -> int:
        """Bytes in the whole blob."""

    def pieces(self, start: int, stop: int) -> AsyncIterator[Piece]:
        """The bytes ``start`` to ``stop`` (half open) in order; nothing when that is no bytes.

        Raises StorageError when they cannot be read or are more than the blob has.
        """

    def close(self) -> None:
        """Idempotent."""


class Ingest(Protocol):
    """One blob being written: invisible until published, resumable until aborted.

    Used by one writer at a time; any number of readers follow what is written. ``publish``,
    ``abort`` and ``quarantine`` end the ingest: writing to it afterwards raises StorageError.
    However it ended, whoever began it calls ``close``.
    """

    @property
    def offset(self) -> int:
        """Bytes written so far; the position of the next one."""

    async def write(self, *chunks: bytes) -> None:
        """Append all of the chunks, in order, or nothing of them.

        Raises StorageFull or StorageError; the bytes before the chunks stay readable, and writing
        may be tried again. Cancelled, it ends only after the disk is done with the chunks.
        """

    def written(self, start: int, stop: int) -> AsyncIterator[Piece]:
        """Bytes already written, ``stop <= offset``, also after ``publish`` and ``abort``, until
        ``close``.

        Raises StorageError when they cannot be read or were not written yet.
        """

    def digest(self) -> Digest:
        """The sha256 digest of the bytes written so far, without reading them again."""

    def hasher(self) -> Hasher:
        """A copy of the running sha256, to go on hashing where writing stopped at ``offset``."""

    async def verify(self, digest: Digest) -> None:
        """Raises DigestMismatch when the bytes written are not those of ``digest``.

        Costs nothing for sha256; for another algorithm the bytes are read again.
        """

    async def hash_range(self, start: int, stop: int) -> str:
        """The sha256, in lower-case hex, of the written bytes ``start`` to ``stop`` (half open).

        Reads them, also while others write and after ``publish``. Raises StorageError.
        """

    async def publish(self, digest: Digest, *rest: bytes) -> None:
        """Append the rest as ``write`` does, and make all bytes the blob ``digest``, durably.

        Verifies first; publishing what is there already is success. Raises DigestMismatch,
        StorageFull or StorageError; the ingest then goes on, unless what it wrote was lost: every
        later use of it raises StorageError.
        """

    async def abort(self) -> None:
        """Forget the bytes, except for readers that follow. Idempotent, harmless after
        ``publish``. Raises StorageError.
        """

    async def quarantine(self, reason: str) -> None:
        """Set the bytes aside for the operator: they failed verification. Raises StorageError."""

    def close(self) -> None:
        """Let go of the file. Unless the ingest has ended, keep the bytes, so that a later ingest
        of this id resumes. Readers that are still following must be done. Idempotent.
        """


@dataclass(frozen=True, slots=True)
class Space:
    """Room on the file system that holds the blobs, in bytes."""

    free: int
    total: int


class BlobStore(Protocol):
    """Blobs by digest."""

    def open(self, digest: Digest) -> OpenBlob | None:
        """The blob, ready to be sent; ``None`` when it is not stored.

        Quick enough for an event loop (one ``open`` and one ``fstat``). Raises StorageError.
        """

    async def read(self, digest: Digest, limit: int) -> bytes | None:
        """A small blob whole, verified against its digest; ``None`` when it is not stored.

        Raises StorageError when it is longer than ``limit`` bytes, DigestMismatch when it rotted.
        """

    async def ingest(self, ingest_id: str) -> Ingest:
        """Begin, or resume after a restart, the ingest of this id (an ``INGEST_ID``).

        What was written before is re-hashed; ``offset`` says how much. Raises StorageFull or
        StorageError, also when the ingest of this id is open already; ValueError for what is no
        id.
        """

    async def resume(self, ingest_id: str, unless_before: datetime) -> Ingest | None:
        """As ``ingest``, but ``None`` when nothing of this id was begun, or when it was last
        written to before the given time.
        """

    async def put(self, digest: Digest, content: bytes) -> None:
        """Store a small blob whole and durably. Idempotent. Raises as ``Ingest.publish`` does."""

    async def delete(self, digest: Digest) -> bool:
        """Remove the bytes; whether they were there. Open readers go on. Raises StorageError."""

    async def delete_all(self, digests: Sequence[Digest]) -> Sequence[Digest]:
        """Remove the bytes of many blobs; those that could not be removed. Does not raise."""

    async def quarantine(self, digest: Digest, reason: str) -> bool:
        """Take a blob that is not what its digest says out of service, kept for the operator.

        Whether it was there. Raises StorageError.
        """

    async def list_blobs(self, shard: int) -> Sequence[tuple[Digest, int, datetime]]:
        """Digest, size and time of arrival of every blob in one of the 256 shards (0 to 255).

        A blob arrives again whenever it is published again. Raises StorageError.
        """

    async def sweep_ingests(self, older_than: datetime, prefix: str = "") -> int:
        """Remove ingests that are not open and were begun and last written to before; the bytes
        freed. Only those whose id begins with ``prefix``, and what no id names.

        Raises StorageError.
        """

    def space(self) -> Space:
        """Room left, as of about a second ago. Quick enough for an event loop.

        Raises StorageError.
        """
