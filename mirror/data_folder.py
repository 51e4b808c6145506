"""What a data folder has besides content: a lock, and room that a full disk cannot take."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

RESERVE = 4 * 1024 * 1024
"""Bytes kept back. The database needs a few pages before it can be opened, and then to note what
eviction takes: without them a server could not start on a disk that has filled up meanwhile.
"""


class DataFolderError(Exception):
    """The folder cannot be used; the message says what to do."""


def keep_reserve(folder: Path) -> None:
    """Set room aside, if there is any; where there is none, the next start tries again."""
    path = folder / "reserve"
    with suppress(OSError), path.open("xb") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, RESERVE)
        except OSError:
            path.unlink()


def release_reserve(folder: Path) -> bool:
    """Give the room back to the disk; whether there was any."""
    try:
        (folder / "reserve").unlink()
    except OSError:
        return False
    return True


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold ``folder/lock``, which the kernel releases however the server ends.

    Raises DataFolderError when another server does.
    """
    path = folder / "lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise DataFolderError(f"{path} cannot be opened: {error.strerror}") from error
    try:
        _lock(descriptor, path)
        # On a full disk nobody can read who we are, and the lock is held all the same.
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise DataFolderError(
            f"the data folder {path.parent} is in use by another server{_holder(descriptor)}; "
            "stop that one, or give this one a folder of its own with the key data"
        ) from error
    except OSError as error:
        raise DataFolderError(
            f"{path} cannot be locked: {error.strerror}; put the data folder on a file system of "
            "this machine"
        ) from error


def _holder(descriptor: int) -> str:
    digits = os.pread(descriptor, 20, 0).strip()
    return f" (process {digits.decode()})" if digits.isdigit() else ""
