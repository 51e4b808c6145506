"""The worlds that blob stores are run in, and what the suite needs to look at them.

A new adapter is one more world in ``WORLDS``; the claims are in ``test_blobs`` and
``test_ingests``.
"""

import os
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from mirror.oci.digest import Digest
from mirror.ports.blobs import BlobStore, FileSlice, Ingest, Piece
from mirror.storage.filesystem import FilesystemBlobStore
from mirror.storage.memory import MemoryBlobStore


class SetClock:
    """Stands still unless it is told to go on."""

    def __init__(self) -> None:
        self._now = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
        self._monotonic = 1000.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def pass_by(self, time: timedelta) -> None:
        self._now += time
        self._monotonic += time.total_seconds()


class World(Protocol):
    @property
    def clock(self) -> SetClock: ...

    def start(self) -> BlobStore:
        """A store over the bytes of the one before, as after a restart."""


class MemoryWorld:
    def __init__(self, _folder: Path) -> None:
        self.clock = SetClock()
        self._store = MemoryBlobStore(self.clock)

    def start(self) -> BlobStore:
        return self._store


class FilesystemWorld:
    def __init__(self, folder: Path) -> None:
        self.clock = SetClock()
        self._root = folder / "data"

    def start(self) -> BlobStore:
        FilesystemBlobStore.prepare(self._root)
        return FilesystemBlobStore(self._root, self.clock)


WORLDS: list[Callable[[Path], World]] = [MemoryWorld, FilesystemWorld]


async def content_of(pieces: AsyncIterator[Piece]) -> bytes:
    content = b""
    async for piece in pieces:
        content += bytes_of(piece)
    return content


def bytes_of(piece: Piece) -> bytes:
    if isinstance(piece, FileSlice):
        return os.pread(piece.file.fileno(), piece.length, piece.start)
    return piece


async def stored(store: BlobStore, digest: Digest) -> bytes | None:
    """The content as a client would get it."""
    blob = store.open(digest)
    if blob is None:
        return None
    try:
        return await content_of(blob.pieces(0, blob.size))
    finally:
        blob.close()


async def begun(store: BlobStore, ingest_id: str, *chunks: bytes) -> Ingest:
    """An ingest with these chunks written."""
    ingest = await store.ingest(ingest_id)
    for chunk in chunks:
        await ingest.write(chunk)
    return ingest


async def listed(store: BlobStore) -> list[Digest]:
    return [digest for shard in range(256) for digest, _, _ in await store.list_blobs(shard)]
