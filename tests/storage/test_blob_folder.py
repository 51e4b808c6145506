"""What may happen to the files of blobs, and that it is noticed."""

import asyncio
import errno
import os
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from mirror.oci.digest import digest_of
from mirror.ports.blobs import DigestMismatch, StorageError
from mirror.storage.filesystem import FilesystemBlobStore
from tests.conformance.blobs import SetClock, begun, content_of, listed, stored
from tests.storage.content import (
    CONTENT,
    DIGEST,
    ODDITIES,
    names_in,
    place_of,
    raising_once_at,
    writable,
)


async def test_a_truncated_blob_is_a_failure_to_its_readers(
    root: Path, store: FilesystemBlobStore
) -> None:
    await store.put(DIGEST, CONTENT)
    blob = store.open(DIGEST)
    assert blob is not None

    os.truncate(writable(place_of(root, DIGEST)), len(CONTENT) - 1)

    assert await content_of(blob.pieces(0, 10)) == CONTENT[:10]
    with pytest.raises(StorageError, match=f"file of {len(CONTENT) - 1} bytes"):
        await content_of(blob.pieces(0, len(CONTENT)))
    blob.close()
    with pytest.raises(DigestMismatch):
        await store.read(DIGEST, len(CONTENT))


@pytest.mark.parametrize(
    "spoiled", [bytes(len(CONTENT)), CONTENT[:-1], CONTENT + b"more", b"", CONTENT[:-1] + b"?"]
)
async def test_a_spoiled_blob_is_not_read(
    root: Path, store: FilesystemBlobStore, spoiled: bytes
) -> None:
    await store.put(DIGEST, CONTENT)
    writable(place_of(root, DIGEST)).write_bytes(spoiled)

    with pytest.raises(DigestMismatch) as found:
        await store.read(DIGEST, 2 * len(CONTENT))

    assert found.value.actual == digest_of(spoiled)


async def test_a_blob_of_another_size_tells_it(root: Path, store: FilesystemBlobStore) -> None:
    await store.put(DIGEST, CONTENT)
    with writable(place_of(root, DIGEST)).open("ab") as file:
        file.write(b"extended")

    blob = store.open(DIGEST)

    assert blob is not None
    assert blob.size == len(CONTENT) + 8
    blob.close()


@pytest.mark.parametrize("make", ODDITIES)
async def test_what_is_no_file_is_neither_served_nor_absent(
    root: Path, store: FilesystemBlobStore, make: Callable[[Path], None]
) -> None:
    place_of(root, DIGEST).parent.mkdir(parents=True)
    make(place_of(root, DIGEST))

    with pytest.raises(StorageError) as failure:
        store.open(DIGEST)
    assert str(root) not in str(failure.value)
    with pytest.raises(StorageError):
        await store.read(DIGEST, len(CONTENT))
    assert await listed(store) == []


@pytest.mark.parametrize("make", ODDITIES)
async def test_publishing_sets_aside_what_is_no_file(
    root: Path, store: FilesystemBlobStore, make: Callable[[Path], None]
) -> None:
    place_of(root, DIGEST).parent.mkdir(parents=True)
    make(place_of(root, DIGEST))

    await store.put(DIGEST, CONTENT)

    assert await stored(store, DIGEST) == CONTENT
    assert f"{DIGEST.encoded}.1" in names_in(root / "quarantine")


async def test_publishing_heals_a_blob_of_the_wrong_size(
    root: Path, store: FilesystemBlobStore
) -> None:
    await store.put(DIGEST, CONTENT)
    os.truncate(writable(place_of(root, DIGEST)), 7)

    await store.put(DIGEST, CONTENT)

    assert await stored(store, DIGEST) == CONTENT


async def test_a_shard_that_was_removed_comes_back(root: Path, store: FilesystemBlobStore) -> None:
    await store.put(DIGEST, CONTENT)
    await store.delete(DIGEST)
    place_of(root, DIGEST).parent.rmdir()

    with pytest.raises(StorageError):
        await store.put(DIGEST, CONTENT)
    await store.put(DIGEST, CONTENT)

    assert await stored(store, DIGEST) == CONTENT


async def test_foreign_files_are_left_alone(
    root: Path, store: FilesystemBlobStore, clock: SetClock
) -> None:
    await store.put(DIGEST, CONTENT)
    shard = place_of(root, DIGEST).parent
    foreign = [
        root / "ingest" / "lost+found.tmp",
        root / "ingest" / ".hidden",
        root / "blobs" / "README",
        root / "blobs" / "sha256" / "README",
        shard / "short",
        shard / DIGEST.encoded.upper(),
        shard / f"{DIGEST.encoded}.tmp",
        shard / ("f" * 64 if shard.name != "ff" else "0" * 64),
        root / "blobs" / "md5" / shard.name / ("0" * 32),
    ]
    for place in foreign:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()

    assert await listed(store) == [DIGEST]
    assert await store.sweep_ingests(clock.now() + timedelta(days=10_000)) == 0
    assert all(place.exists() for place in foreign)


async def test_a_name_that_was_not_synced_is_taken_back(root: Path, clock: SetClock) -> None:
    store = FilesystemBlobStore(root, clock, checkpoint=raising_once_at("publish.renamed"))
    ingest = await begun(store, "a", CONTENT)

    with pytest.raises(StorageError):
        await ingest.publish(DIGEST)
    assert store.open(DIGEST) is None

    await ingest.publish(DIGEST)
    ingest.close()
    assert await stored(store, DIGEST) == CONTENT


async def test_who_finds_a_blob_present_waits_until_its_name_is_durable(
    root: Path, clock: SetClock
) -> None:
    renamed, may_fail, second_came = threading.Event(), threading.Event(), threading.Event()
    reached: list[str] = []

    def checkpoint(name: str) -> None:
        reached.append(name)
        if reached.count("publish.synced") == 2:
            second_came.set()
        if name == "publish.renamed" and reached.count(name) == 1:
            renamed.set()
            may_fail.wait(30)
            raise OSError(errno.EIO, "the first name is lost")

    store = FilesystemBlobStore(root, clock, checkpoint=checkpoint)
    first = asyncio.create_task(store.put(DIGEST, CONTENT))
    await asyncio.to_thread(renamed.wait, 30)
    second = asyncio.create_task(store.put(DIGEST, CONTENT))
    await asyncio.to_thread(second_came.wait, 30)
    assert await asyncio.wait({second}, timeout=0.1) == (set(), {second})
    may_fail.set()

    with pytest.raises(StorageError):
        await first
    await second
    assert await stored(store, DIGEST) == CONTENT
