"""Content-addressed bytes: where they rest and how they come in. Knows no repository.

A blob is visible only after its digest was verified and its bytes are durable; it never changes
afterwards. An ingest is a blob that is still being written.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Protocol

from mirror.oci.digest import Digest


class StorageError(Exception):
    """The store could not do what was asked. Never means "not there"."""


class StorageFull(StorageError):
    """No room for more bytes (ENOSPC, EDQUOT, EFBIG), or the store is read-only."""


class DigestMismatch(Exception):
    """The bytes are not the ones the digest names. ``actual`` is what they are."""

    def __init__(self, expected: Digest, actual: Digest) -> None:
        super().__init__(f"expected {expected}, got {actual}")
        self.expected = expected
        self.actual = actual


@dataclass(frozen=True, slots=True)
class FileSlice:
    """The bytes ``start`` to ``stop`` (half open) of an open file, for ``sendfile``.

    Whoever opened the file closes it; positions are absolute, the file's own offset is not used.
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
        """The bytes ``start`` to ``stop`` (half open) in order.

        Raises StorageError when they cannot be read; what was yielded before is right.
        """

    def close(self) -> None:
        """Idempotent."""


class Ingest(Protocol):
    """One blob being written: invisible until published, resumable until aborted.

    Used by one writer at a time; any number of readers follow what is written.
    """

    @property
    def offset(self) -> int:
        """Bytes written so far; the position of the next one."""

    async def write(self, chunk: bytes) -> None:
        """Append. Raises StorageFull or StorageError; the bytes before the chunk stay readable."""

    def written(self, start: int, stop: int) -> AsyncIterator[Piece]:
        """Bytes already written, ``stop <= offset``. Remains valid until ``close``."""

    def digest(self, algorithm: str) -> Digest:
        """The digest of the bytes written so far."""

    async def verify(self, digest: Digest) -> None:
        """Raises DigestMismatch when the bytes written are not those of ``digest``."""

    async def publish(self, digest: Digest) -> None:
        """Make the bytes the blob ``digest``, durably. Verifies first; publishing what is there
        already is success. Raises DigestMismatch, StorageFull or StorageError.
        """

    async def abort(self) -> None:
        """Forget the bytes. Idempotent, harmless after ``publish``."""

    async def quarantine(self, reason: str) -> None:
        """Set the bytes aside for the operator: they failed verification. Ends the ingest."""

    def close(self) -> None:
        """Let go of the file and keep the bytes, so that a later ingest of this id resumes.

        Readers that are still following must be done. Idempotent.
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
        """Begin, or resume after a restart, the ingest of this id (letters, digits, ``-``, ``_``).

        What was written before is re-hashed; ``offset`` says how much. At most one open ingest
        per id, the caller sees to that. Raises StorageFull or StorageError.
        """

    async def put(self, digest: Digest, content: bytes) -> None:
        """Store a small blob whole and durably. Idempotent. Raises as ``Ingest.publish`` does."""

    async def delete(self, digest: Digest) -> bool:
        """Remove the bytes; whether they were there. Open readers go on reading."""

    async def quarantine(self, digest: Digest, reason: str) -> bool:
        """Take a blob that is not what its digest says out of service, kept for the operator."""

    async def list_blobs(self, shard: int) -> Sequence[tuple[Digest, int, datetime]]:
        """Digest, size and time of arrival of every blob in one of the 256 shards (0 to 255)."""

    async def sweep_ingests(self, older_than: datetime) -> int:
        """Remove ingests nobody has written to since; the bytes freed."""

    def space(self) -> Space:
        """Room left. Quick enough for an event loop."""
