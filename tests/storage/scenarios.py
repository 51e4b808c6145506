"""Programs that tests of the filesystem store run in processes of their own, to kill or starve.

``python -m tests.storage.scenarios <name> <folder>``; what they find out goes to standard output.
"""

import asyncio
import errno
import itertools
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mirror.oci.digest import digest_of
from mirror.ports.blobs import Ingest, StorageError, StorageFull
from mirror.storage.disk import Checkpoint, pass_checkpoint
from mirror.storage.filesystem import FilesystemBlobStore
from tests.conformance.blobs import SetClock, content_of, stored

CHUNK = bytes(range(256)) * 160
LAYER = CHUNK + b"second" + CHUNK
LAYER_DIGEST = digest_of(LAYER)
MANIFEST = b'{"schemaVersion": 2}'
MANIFEST_DIGEST = digest_of(MANIFEST)
MANIFEST_SHA512 = digest_of(MANIFEST, "sha512")


def open_store(root: Path, checkpoint: Checkpoint = pass_checkpoint) -> FilesystemBlobStore:
    """One thread, because a tracer counts system calls for each thread."""
    executor = ThreadPoolExecutor(1)
    return FilesystemBlobStore(root, SetClock(), executor, checkpoint)


async def fill(store: FilesystemBlobStore, ingest_id: str) -> None:
    """Store the layer, from where an earlier attempt left off."""
    ingest = await store.ingest(ingest_id)
    try:
        while ingest.offset < len(LAYER):
            await ingest.write(LAYER[ingest.offset : ingest.offset + len(CHUNK)])
        await ingest.publish(LAYER_DIGEST)
    finally:
        ingest.close()


async def live(store: FilesystemBlobStore, say: Callable[[str], None]) -> None:
    """Everything a store does, each step told before it may be undone and after it is durable."""
    await fill(store, "fill")
    say(f"stored {LAYER_DIGEST}")
    await store.put(MANIFEST_DIGEST, MANIFEST)
    say(f"stored {MANIFEST_DIGEST}")
    await store.put(MANIFEST_SHA512, MANIFEST)
    say(f"stored {MANIFEST_SHA512}")
    await fill(store, "again")
    say(f"leaving {MANIFEST_DIGEST}")
    await store.delete(MANIFEST_DIGEST)
    say(f"leaving {MANIFEST_SHA512}")
    await store.quarantine(MANIFEST_SHA512, "tested")


class KillAt:
    """Kills the process at a checkpoint, counted from 0."""

    def __init__(self, count: int) -> None:
        self._left = count

    def __call__(self, name: str) -> None:
        if self._left == 0:
            say_to(sys.stdout.fileno(), name)
            os.kill(os.getpid(), signal.SIGKILL)
        self._left -= 1


def kill_everywhere(base: Path) -> None:
    """Live once for every checkpoint, and die there; the last life is complete.

    The folders are ``base/<n>``, what was said is in ``base/<n>.said``.
    """
    for count in itertools.count():
        process = os.fork()
        if process == 0:
            live_and_die(base / str(count), KillAt(count))
        if os.waitpid(process, 0)[1] == 0:
            return


def live_and_die(root: Path, kill: KillAt) -> None:
    FilesystemBlobStore.prepare(root)
    said = os.open(root.with_suffix(".said"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    asyncio.run(live(open_store(root, kill), lambda line: say_to(said, line)))
    os._exit(0)


def say_to(descriptor: int, line: str) -> None:
    os.write(descriptor, f"{line}\n".encode())


async def publish(root: Path) -> None:
    """One blob, for a tracer that looks at the order."""
    await fill(open_store(root), "fill")
    say_to(sys.stdout.fileno(), "stored")


async def publish_in_spite_of_errors(root: Path) -> None:
    """Store the layer again and again while a tracer lets system calls fail."""
    store = open_store(root)
    for _ in range(5):
        try:
            await fill(store, "fill")
        except StorageError as failure:
            say_to(sys.stdout.fileno(), str(failure))
        else:
            break
        assert store.open(LAYER_DIGEST) is None, "a blob is seen that was not stored"
    assert await stored(store, LAYER_DIGEST) == LAYER


async def fill_the_disk(root: Path) -> None:
    """On a file system of 1 MiB: what is written stays right, and there is a way back."""
    FilesystemBlobStore.prepare(root)
    store = open_store(root)
    await store.put(MANIFEST_DIGEST, MANIFEST)
    ballast = root / "ballast"
    ballast.write_bytes(bytes(300_000))
    chunk = os.urandom(100_000)
    ingest = await store.ingest("big")
    with pytest.raises(StorageFull, match=os.strerror(errno.ENOSPC)):
        await write_for_ever(ingest, chunk)
    written = chunk * (ingest.offset // len(chunk))
    assert len(written) >= 2 * len(chunk)
    assert ingest.offset == len(written) == (root / "ingest" / "big").stat().st_size
    assert ingest.digest() == digest_of(written)
    assert await content_of(ingest.written(0, ingest.offset)) == written
    assert await store.read(MANIFEST_DIGEST, 100) == MANIFEST
    ballast.unlink()
    await ingest.write(chunk)
    await ingest.publish(digest_of(written + chunk))
    ingest.close()
    assert await stored(store, digest_of(written + chunk)) == written + chunk


async def write_for_ever(ingest: Ingest, chunk: bytes) -> None:
    while True:
        await ingest.write(chunk)


async def run_out_of_inodes(root: Path) -> None:
    """On a file system of few files: nothing new, but what is there is served."""
    FilesystemBlobStore.prepare(root)
    store = open_store(root)
    await store.put(MANIFEST_DIGEST, MANIFEST)
    ready = await store.ingest("ready")
    await ready.write(LAYER)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        make_files_for_ever(root)

    await expect_full(store.ingest("new"))
    await expect_full(store.put(digest_of(b"new"), b"new"))
    await expect_full(ready.publish(LAYER_DIGEST))  # its shard would need a folder
    assert store.open(LAYER_DIGEST) is None
    assert await store.read(MANIFEST_DIGEST, 100) == MANIFEST
    assert await store.quarantine(MANIFEST_DIGEST, "there is no room for this note")
    FilesystemBlobStore.prepare(root)

    (root / "ballast-0").unlink()
    await ready.publish(LAYER_DIGEST)
    ready.close()
    assert await stored(store, LAYER_DIGEST) == LAYER


def make_files_for_ever(root: Path) -> None:
    for number in itertools.count():
        (root / f"ballast-{number}").touch()


async def expect_full(attempt: Awaitable[object]) -> None:
    with pytest.raises(StorageFull):
        await attempt


async def turn_read_only(root: Path) -> None:
    """On a file system of its own, which is then remounted."""
    FilesystemBlobStore.prepare(root)
    store = open_store(root)
    await store.put(MANIFEST_DIGEST, MANIFEST)
    remount = ["mount", "-o", "remount,ro", str(root)]
    await asyncio.to_thread(subprocess.run, remount, check=True)

    assert await stored(store, MANIFEST_DIGEST) == MANIFEST
    await expect_full(store.ingest("new"))
    await expect_full(store.delete(MANIFEST_DIGEST))
    with pytest.raises(StorageError, match=os.strerror(errno.EROFS)):
        FilesystemBlobStore.prepare(root)


async def exceed_the_file_size(root: Path) -> None:
    FilesystemBlobStore.prepare(root)
    store = open_store(root)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(LAYER) + 10, resource.RLIM_INFINITY))
    ingest = await store.ingest("big")
    await ingest.write(LAYER)
    await expect_full(ingest.write(LAYER))
    assert ingest.offset == (root / "ingest" / "big").stat().st_size == len(LAYER)
    await ingest.publish(LAYER_DIGEST)
    ingest.close()
    assert await stored(store, LAYER_DIGEST) == LAYER


PROGRAMS: dict[str, Callable[[Path], Awaitable[None]]] = {
    program.__name__: program
    for program in (
        publish,
        publish_in_spite_of_errors,
        fill_the_disk,
        run_out_of_inodes,
        turn_read_only,
        exceed_the_file_size,
    )
}


async def run(name: str, root: Path) -> None:
    await PROGRAMS[name](root)


if __name__ == "__main__":
    if sys.argv[1] == kill_everywhere.__name__:
        kill_everywhere(Path(sys.argv[2]))
    else:
        asyncio.run(run(sys.argv[1], Path(sys.argv[2])))
