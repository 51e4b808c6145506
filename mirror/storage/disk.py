"""Disk work away from the event loop, and what the system's errors mean. Knows no blob."""

import asyncio
import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import TypeVar

from mirror.ports.blobs import FileSlice, StorageBusy, StorageError, StorageFull

T = TypeVar("T")

Checkpoint = Callable[[str], None]
"""Told the name of every step that a crash could separate from the next one."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})
_BUSY = frozenset({errno.EMFILE, errno.ENFILE})
_MOST_AT_ONCE = 1024
"""Chunks that one system call takes (IOV_MAX of Linux)."""

_FOLDER_MODE = 0o700
_FILE_MODE = 0o600
_MODES = {os.O_RDONLY: "rb", os.O_WRONLY: "wb", os.O_RDWR: "rb+"}


def pass_checkpoint(_name: str) -> None:
    """The checkpoint of every store that is not being tested."""


@contextmanager
def storage_errors(action: str) -> Iterator[None]:
    """Turn OSError into StorageError, which names no path: it may reach a client."""
    try:
        yield
    except OSError as error:
        raise _kind_of(error)(f"cannot {action}: {reason_of(error)}") from error


def _kind_of(error: OSError) -> type[StorageError]:
    if error.errno in _FULL:
        return StorageFull
    return StorageBusy if error.errno in _BUSY else StorageError


def reason_of(error: OSError) -> str:
    """Without the path that ``str`` would show."""
    return os.strerror(error.errno) if error.errno else "the operating system refused"


async def in_thread(executor: Executor | None, action: str, work: Callable[[], T]) -> T:
    """Run ``work`` in a thread; OSError becomes StorageError.

    A thread cannot be stopped. So cancellation waits for its end, for nobody may close or reuse a
    file that is still being written.
    """
    future = asyncio.get_running_loop().run_in_executor(executor, work)
    with storage_errors(action):
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError as stop:
            await _until_done(future)
            raise stop from None


async def _until_done(future: asyncio.Future[T]) -> None:
    """However it ends, and however often who waits is told to stop."""
    while not future.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait({future})
    future.exception()  # the loop would report it as never retrieved


def open_regular(path: Path, flags: int = os.O_RDONLY) -> FileIO:
    """Open without following a link and without waiting for the writer of a pipe."""
    extra = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(path, flags | extra, _FILE_MODE)
    try:
        if not flags & os.O_EXCL:  # by which a file was made
            _require_regular(descriptor)
        return FileIO(descriptor, _MODES[flags & os.O_ACCMODE])
    except BaseException:
        os.close(descriptor)
        raise


def _require_regular(descriptor: int) -> None:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise StorageError("there is something else in the place of a file")


def slice_of(file: FileIO, start: int, stop: int) -> FileSlice:
    """Raises StorageError when the file does not have these bytes now."""
    if file.closed:
        raise StorageError("the file is closed")
    with storage_errors("read a file"):
        size = os.fstat(file.fileno()).st_size
    if not 0 <= start <= stop <= size:
        raise StorageError(f"bytes {start} to {stop} were asked of a file of {size} bytes")
    return FileSlice(file, start, stop)


def write_at(descriptor: int, chunks: Sequence[bytes], position: int) -> int:
    """Write all of them, one after the other; the position behind them.

    The system may take less than it is given, as it does before it is full.
    """
    for first in range(0, len(chunks), _MOST_AT_ONCE):
        rest: Sequence[bytes | memoryview] = chunks[first : first + _MOST_AT_ONCE]
        while rest:
            written = os.pwritev(descriptor, rest, position)
            position += written
            rest = _behind(rest, written)
    return position


def _behind(chunks: Sequence[bytes | memoryview], size: int) -> Sequence[bytes | memoryview]:
    """What follows the first ``size`` bytes."""
    for number, chunk in enumerate(chunks):
        if size < len(chunk):
            return [memoryview(chunk)[size:], *chunks[number + 1 :]]
        size -= len(chunk)
    return ()


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Make it be there, durably and for the owner only."""
    path.mkdir(mode=_FOLDER_MODE, exist_ok=True)
    sync_folder(path.parent)
