"""One blob on its way in: a file that grows and at last becomes the blob. Knows no other ingest."""

import hashlib
import os
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from io import FileIO
from pathlib import Path
from typing import TypeVar

from mirror.oci.digest import Digest, Hasher, digest_of
from mirror.ports.blobs import DigestMismatch, FileSlice, StorageError
from mirror.ports.clock import Clock
from mirror.storage.blob_folder import BlobFolder
from mirror.storage.disk import (
    Checkpoint,
    in_thread,
    open_regular,
    slice_of,
    storage_errors,
    write_at,
)
from mirror.storage.quarantine import QuarantineFolder

T = TypeVar("T")

_GROWING_MODE = 0o600
_BLOB_MODE = 0o440
_STEP = 1 << 20
_STEPS_AT_ONCE = 16


class NothingBegun(Exception):
    """There is no file to go on with, or it is too old."""


@dataclass(frozen=True, slots=True)
class IngestSurroundings:
    """What every ingest of a store works with."""

    blobs: BlobFolder
    quarantine: QuarantineFolder
    clock: Clock
    checkpoint: Checkpoint
    executor: Executor | None


class FileIngest:
    """An ``Ingest`` in a file that becomes the blob's own.

    The sha256 runs along with the writing, so publishing reads nothing again. Bytes are written at
    explicit positions: what a failed write left behind is overwritten or cut off.
    """

    def __init__(
        self, path: Path, surroundings: IngestSurroundings, release: Callable[[], None]
    ) -> None:
        self._path = path
        self._surroundings = surroundings
        self._release = release
        self._hasher: Hasher = hashlib.sha256()
        self._offset = 0
        self._verified: Digest | None = None
        self._writing: FileIO | None = None
        self._reading: FileIO | None = None
        self._ended = False
        self._lost = False
        self._busy = False
        self._threads = 0
        self._closing = False

    @property
    def offset(self) -> int:
        return self._offset

    async def resume(self) -> None:
        """Open the file and hash what it holds, a few steps at a time so that it can be stopped."""
        await self._alone("begin an ingest", self._open)
        await self._hash_all()

    async def take_up(self, limit: float) -> None:
        """The same for a file that is there and was written to since. Raises NothingBegun."""
        await self._alone("resume an ingest", lambda: self._open_young(limit))
        await self._hash_all()

    async def put(self, digest: Digest, content: bytes) -> None:
        """All of it in one go, whatever a crash has left in the file's place.

        Raises as ``publish`` does.
        """

        def work() -> None:
            self._create_anew()
            self._append([content])
            self._verify(digest, digest_of(content, digest.algorithm))
            self._publish(digest)

        await self._alone("store a blob", work)

    async def write(self, *chunks: bytes) -> None:
        await self._alone("write a blob", lambda: self._append(chunks))

    async def written(self, start: int, stop: int) -> AsyncIterator[FileSlice]:
        self._check_written(start, stop)
        if start < stop:
            yield slice_of(self._reader(), start, stop)

    def digest(self) -> Digest:
        return Digest("sha256", self._hasher.hexdigest())

    def hasher(self) -> Hasher:
        return self._hasher.copy()

    async def verify(self, digest: Digest) -> None:
        if digest == self._verified:
            return
        actual = self.digest()
        if actual.algorithm != digest.algorithm:
            encoded = await self._hash(digest.hasher(), 0, self._offset)
            actual = Digest(digest.algorithm, encoded)
        self._verify(digest, actual)

    async def hash_range(self, start: int, stop: int) -> str:
        return await self._hash(hashlib.sha256(), start, stop)

    async def publish(self, digest: Digest, *rest: bytes) -> None:
        if digest.algorithm != self.digest().algorithm:
            await self.write(*rest)
            await self.verify(digest)
            rest = ()
        self._reader()  # those who follow go on reading when the file has another name
        await self._alone("publish a blob", lambda: self._append_and_publish(digest, rest))

    async def abort(self) -> None:
        if not self._ended:
            with suppress(StorageError):  # there may be nothing to read
                self._reader()  # those who follow go on reading what has no name any more
            await self._alone("abort an ingest", self._remove)

    async def quarantine(self, reason: str) -> None:
        await self._alone("quarantine an ingest", lambda: self._set_aside(reason))

    def close(self) -> None:
        if self._threads:
            self._closing = True
            return
        self._end()
        if self._reading is not None:
            self._reading.close()

    async def _alone(self, action: str, work: Callable[[], T]) -> T:
        if self._ended:
            raise StorageError(f"cannot {action}: it has ended")
        if self._busy:
            raise StorageError(f"cannot {action}: it is busy")
        self._busy = True
        try:
            return await self._in_thread(action, work)
        finally:
            self._busy = False

    async def _in_thread(self, action: str, work: Callable[[], T]) -> T:
        """No file is closed meanwhile: its number may be another file's a moment later."""
        self._threads += 1
        try:
            return await in_thread(self._surroundings.executor, action, work)
        finally:
            self._threads -= 1
            if self._closing:
                self.close()

    def _open(self) -> None:
        try:
            self._open_existing()
        except FileNotFoundError:
            self._create()

    def _open_young(self, limit: float) -> None:
        try:
            self._open_existing()
        except FileNotFoundError:
            raise NothingBegun from None
        if os.fstat(self._writer().fileno()).st_mtime < limit:
            raise NothingBegun

    def _open_existing(self) -> None:
        self._reading = open_regular(self._path)
        # A crash in the middle of publishing may have left it read-only.
        os.fchmod(self._reading.fileno(), _GROWING_MODE)
        self._writing = open_regular(self._path, os.O_WRONLY)

    def _create(self) -> None:
        self._reading = self._writing = open_regular(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        self._touch(self._writing.fileno())
        self._surroundings.checkpoint("ingest.created")

    def _create_anew(self) -> None:
        self._path.unlink(missing_ok=True)
        self._create()

    async def _hash_all(self) -> None:
        while await self._alone("resume an ingest", self._hash_more):
            pass

    def _hash_more(self) -> bool:
        """Whether there may be more to hash."""
        if self._reading is None:
            return False
        for _ in range(_STEPS_AT_ONCE):
            step = os.pread(self._reading.fileno(), _STEP, self._offset)
            if not step:
                return False
            self._hasher.update(step)
            self._offset += len(step)
        return True

    async def _hash(self, hasher: Hasher, start: int, stop: int) -> str:
        self._check_written(start, stop)
        for first in range(start, stop, _STEP * _STEPS_AT_ONCE):
            last = min(first + _STEP * _STEPS_AT_ONCE, stop)
            feeding = partial(_feed, hasher, self._reader(), first, last)
            await self._in_thread("read an ingest", feeding)
        return hasher.hexdigest()

    def _check_written(self, start: int, stop: int) -> None:
        if not 0 <= start <= stop <= self._offset:
            raise StorageError(f"bytes {start} to {stop} were asked, {self._offset} are written")

    def _append(self, chunks: Sequence[bytes]) -> None:
        self._add(chunks)
        self._touch(self._writer().fileno())

    def _add(self, chunks: Sequence[bytes]) -> None:
        descriptor = self._writer().fileno()
        try:
            end = write_at(descriptor, chunks, self._offset)
        except OSError:
            with suppress(OSError):
                os.ftruncate(descriptor, self._offset)
            raise
        for chunk in chunks:
            self._hasher.update(chunk)
        self._offset = end
        self._verified = None
        self._surroundings.checkpoint("ingest.written")

    def _append_and_publish(self, digest: Digest, rest: Sequence[bytes]) -> None:
        if rest:
            self._add(rest)
        if digest != self._verified:
            self._verify(digest, self.digest())
        self._publish(digest)

    def _verify(self, digest: Digest, actual: Digest) -> None:
        if actual != digest:
            raise DigestMismatch(digest, actual)
        self._verified = digest

    def _publish(self, digest: Digest) -> None:
        if digest != self._verified:
            raise StorageError("the ingest was written to while it was verified")
        self._surroundings.checkpoint("publish.verified")
        self._seal(self._writer().fileno())
        self._surroundings.checkpoint("publish.synced")
        self._surroundings.blobs.place(self._path, digest, self._offset)
        self._end()

    def _seal(self, descriptor: int) -> None:
        """Make the file durable and final: exactly the bytes that were hashed."""
        size = os.fstat(descriptor).st_size
        if size < self._offset:
            raise StorageError("the file of an ingest became shorter")
        if size > self._offset:  # a failed write has left a tail
            os.ftruncate(descriptor, self._offset)
        os.fchmod(descriptor, _BLOB_MODE)
        self._touch(descriptor)
        try:
            self._surroundings.checkpoint("publish.sealed")
            os.fsync(descriptor)
        except OSError:
            self._lose()
            raise

    def _lose(self) -> None:
        """After a failed fsync the file may hold anything, and a second one would not tell."""
        self._lost = True
        with suppress(OSError):
            self._path.unlink()
        self._end()

    def _remove(self) -> None:
        self._path.unlink(missing_ok=True)
        self._end()

    def _set_aside(self, reason: str) -> None:
        self._surroundings.quarantine.take(self._path, self.digest(), reason)
        self._end()

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            self._release()
        if self._writing is not None and self._writing is not self._reading:
            self._writing.close()

    def _reader(self) -> FileIO:
        """Called on the event loop only, lest two threads open it at once."""
        if self._reading is None and not self._ended:
            with storage_errors("read an ingest"):
                self._reading = open_regular(self._path)
        if self._reading is None or self._lost:
            raise StorageError("the bytes of the ingest are gone")
        return self._reading

    def _writer(self) -> FileIO:
        if self._writing is None:
            raise StorageError("the ingest was never opened")
        return self._writing

    def _touch(self, descriptor: int) -> None:
        """The clock that ages are measured with later is ours, not the file system's."""
        now = self._surroundings.clock.now().timestamp()
        os.utime(descriptor, (now, now))


def _feed(hasher: Hasher, file: FileIO, start: int, stop: int) -> None:
    while start < stop:
        step = os.pread(file.fileno(), min(_STEP, stop - start), start)
        if not step:
            raise StorageError("the file of an ingest became shorter")
        hasher.update(step)
        start += len(step)
