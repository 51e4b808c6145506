"""Blobs as files on one local file system. How each kind of file lives is told beside it:
``blob_folder``, ``ingest``, ``ingest_folder`` and ``quarantine``.

    blobs/sha256/ab/<hex>    verified, durable, read-only
    ingest/<id>              growing
    quarantine/<hex>.<n>     failed verification
"""

import errno
import os
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor
from contextlib import closing, suppress
from datetime import datetime
from io import FileIO
from pathlib import Path
from typing import TypeVar

from mirror.oci.digest import Digest, digest_of
from mirror.ports.blobs import DigestMismatch, FileSlice, Space, StorageError
from mirror.ports.clock import Clock
from mirror.storage.blob_folder import BlobFolder
from mirror.storage.disk import (
    Checkpoint,
    in_thread,
    make_folder,
    pass_checkpoint,
    reason_of,
    slice_of,
    storage_errors,
)
from mirror.storage.ingest import FileIngest, IngestSurroundings
from mirror.storage.ingest_folder import IngestFolder
from mirror.storage.quarantine import QuarantineFolder

T = TypeVar("T")

_BLOBS = "blobs"
_INGEST = "ingest"
_QUARANTINE = "quarantine"
_PROBE = ".probe"
_SPACE_LIFETIME = 1.0
"""Seconds."""


class OpenFile:
    """An ``OpenBlob`` that is a file."""

    def __init__(self, file: FileIO, size: int) -> None:
        self._file = file
        self._size = size

    @property
    def size(self) -> int:
        return self._size

    async def pieces(self, start: int, stop: int) -> AsyncIterator[FileSlice]:
        piece = slice_of(self._file, start, stop)
        if piece.length:
            yield piece

    def close(self) -> None:
        self._file.close()


class FilesystemBlobStore:
    """A ``BlobStore`` in a folder that ``prepare`` has made ready and no other process uses.

    ``executor`` runs what waits for the disk, by default the event loop's own.
    """

    def __init__(
        self,
        root: Path,
        clock: Clock,
        executor: Executor | None = None,
        checkpoint: Checkpoint = pass_checkpoint,
    ) -> None:
        self._root = root.absolute()
        self._clock = clock
        self._executor = executor
        quarantine = QuarantineFolder(self._root / _QUARANTINE, clock)
        self._blobs = BlobFolder(self._root / _BLOBS, quarantine, clock, checkpoint)
        surroundings = IngestSurroundings(self._blobs, quarantine, clock, checkpoint, executor)
        self._ingests = IngestFolder(self._root / _INGEST, surroundings)
        self._space: Space | None = None
        self._space_until = 0.0

    @staticmethod
    def prepare(root: Path) -> None:
        """Make the folders; to be called before anything is served, since it waits for the disk.

        A full disk is no failure: what is stored can still be served. Raises StorageError with the
        folder's name and what to do: the message is the operator's.
        """
        try:
            _make_folder_tree(root)
            folders = [root / name for name in (_BLOBS, _INGEST, _QUARANTINE)]
            for folder in folders:
                make_folder(folder)
                _try_to_write(folder)
            file_systems = {folder.stat().st_dev for folder in folders}
        except OSError as error:
            raise StorageError(
                f"the data folder {root} cannot be written: {reason_of(error)}; "
                "make it writable for the user the server runs as, or name another one"
            ) from error
        if len(file_systems) > 1:
            raise StorageError(
                f"{_BLOBS}, {_INGEST} and {_QUARANTINE} in {root} are on different file systems; "
                "put the whole data folder on one"
            )

    def open(self, digest: Digest) -> OpenFile | None:
        with storage_errors("open a blob"):
            file = self._blobs.open_file(digest)
            return None if file is None else OpenFile(file, os.fstat(file.fileno()).st_size)

    async def read(self, digest: Digest, limit: int) -> bytes | None:
        return await self._in_thread("read a blob", lambda: self._read(digest, limit))

    async def ingest(self, ingest_id: str) -> FileIngest:
        return await self._ingests.begin(ingest_id)

    async def resume(self, ingest_id: str, unless_before: datetime) -> FileIngest | None:
        return await self._ingests.resume(ingest_id, unless_before)

    async def put(self, digest: Digest, content: bytes) -> None:
        with closing(self._ingests.begin_put()) as ingest:
            try:
                await ingest.put(digest, content)
            finally:
                with suppress(StorageError):  # a sweep comes by later
                    await ingest.abort()

    async def delete(self, digest: Digest) -> bool:
        return await self._in_thread("delete a blob", lambda: self._blobs.remove(digest))

    async def delete_all(self, digests: Sequence[Digest]) -> Sequence[Digest]:
        return await self._in_thread("delete blobs", lambda: self._delete_all(digests))

    async def quarantine(self, digest: Digest, reason: str) -> bool:
        return await self._in_thread(
            "quarantine a blob", lambda: self._blobs.quarantine(digest, reason)
        )

    async def list_blobs(self, shard: int) -> Sequence[tuple[Digest, int, datetime]]:
        return await self._in_thread("list blobs", lambda: self._blobs.list_shard(shard))

    async def sweep_ingests(self, older_than: datetime, prefix: str = "") -> int:
        return await self._ingests.sweep(older_than, prefix)

    def space(self) -> Space:
        now = self._clock.monotonic()
        if self._space is None or now >= self._space_until:
            with storage_errors("measure free space"):
                found = os.statvfs(self._root)
            self._space = Space(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)
            self._space_until = now + _SPACE_LIFETIME
        return self._space

    def _read(self, digest: Digest, limit: int) -> bytes | None:
        file = self._blobs.open_file(digest)
        if file is None:
            return None
        with file:
            size = os.fstat(file.fileno()).st_size
            if size > limit:
                raise StorageError(f"a blob of {size} bytes is longer than {limit}")
            content = file.readall()
        actual = digest_of(content, digest.algorithm)
        if actual != digest:
            raise DigestMismatch(digest, actual)
        return content

    def _delete_all(self, digests: Sequence[Digest]) -> Sequence[Digest]:
        kept = []
        for digest in digests:
            try:
                self._blobs.remove(digest)
            except OSError:
                kept.append(digest)
        return kept

    async def _in_thread(self, action: str, work: Callable[[], T]) -> T:
        return await in_thread(self._executor, action, work)


def _make_folder_tree(folder: Path) -> None:
    if not folder.is_dir():
        _make_folder_tree(folder.parent)
        make_folder(folder)


def _try_to_write(folder: Path) -> None:
    probe = folder / _PROBE
    try:
        probe.touch(mode=0o600)
        probe.unlink()
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
