"""Disk work in threads, and what the system's errors become."""

import asyncio
import errno
import gc
import os
import threading
from pathlib import Path

import pytest

from mirror.ports.blobs import StorageBusy, StorageError, StorageFull
from mirror.storage.disk import in_thread, open_regular, storage_errors


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS])
def test_no_room_is_told_apart(number: int) -> None:
    with pytest.raises(StorageFull, match=f"^cannot write: {os.strerror(number)}$"):
        fail("write", OSError(number, "hidden", "/a/hidden/path"))


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.ENOENT])
def test_other_errors_are_no_lack_of_room(number: int) -> None:
    with pytest.raises(StorageError, match=f"^cannot read: {os.strerror(number)}$") as failure:
        fail("read", OSError(number, "hidden", "/a/hidden/path"))

    assert not isinstance(failure.value, StorageFull | StorageBusy)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_what_passes_by_itself_is_told_apart(number: int) -> None:
    with pytest.raises(StorageBusy, match=f"^cannot open: {os.strerror(number)}$"):
        fail("open", OSError(number, "hidden", "/a/hidden/path"))


def test_an_error_without_a_number_has_a_message_too() -> None:
    with pytest.raises(StorageError, match=r"^cannot read: the operating system refused$"):
        fail("read", OSError("/a/hidden/path"))


def fail(action: str, error: OSError) -> None:
    with storage_errors(action):
        raise error


async def test_cancellation_waits_for_the_thread() -> None:
    started, may_end = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    done: list[bool] = []

    def work() -> None:
        loop.call_soon_threadsafe(started.set)
        done.append(may_end.wait(30))

    task = asyncio.create_task(in_thread(None, "work", work))
    await started.wait()
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
    may_end.set()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == [True]


async def test_what_fails_while_being_cancelled_is_not_reported_twice() -> None:
    started, may_end = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    reported: list[object] = []
    loop.set_exception_handler(lambda _loop, context: reported.append(context))

    def work() -> None:
        loop.call_soon_threadsafe(started.set)
        may_end.wait(30)
        raise OSError(errno.EIO, "too late")

    task = asyncio.create_task(in_thread(None, "work", work))
    await started.wait()
    task.cancel()
    may_end.set()
    await asyncio.wait({task})

    assert task.cancelled()
    del task
    gc.collect()
    assert reported == []


@pytest.mark.timeout(10)
def test_a_pipe_is_refused_without_waiting_for_its_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(StorageError):
        open_regular(tmp_path / "pipe")
