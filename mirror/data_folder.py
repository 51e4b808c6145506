"""One server per data folder: a lock that the kernel releases however the server ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class DataFolderError(Exception):
    """The folder cannot be used; the message says what to do."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold ``folder/lock``. Raises DataFolderError when another server does."""
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
