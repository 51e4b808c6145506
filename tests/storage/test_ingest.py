"""What may happen to the file of an ingest, and to its threads."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mirror.oci.digest import digest_of
from mirror.ports.blobs import StorageError
from mirror.storage.filesystem import FilesystemBlobStore
from tests.conformance.blobs import SetClock, begun, content_of, stored
from tests.storage.content import CONTENT, DIGEST, ODDITIES, SHA512, Gate, mode_of, raising_once_at


async def test_an_ingest_that_died_while_publishing_can_be_written_to(
    root: Path, store: FilesystemBlobStore
) -> None:
    (root / "ingest" / "a").write_bytes(CONTENT[:10])
    (root / "ingest" / "a").chmod(0o440)

    ingest = await store.ingest("a")
    assert mode_of(root / "ingest" / "a") == 0o600
    await ingest.write(CONTENT[10:])
    await ingest.publish(DIGEST)
    ingest.close()

    assert await stored(store, DIGEST) == CONTENT


@pytest.mark.parametrize("make", ODDITIES)
async def test_an_ingest_follows_no_link(
    root: Path, store: FilesystemBlobStore, make: Callable[[Path], None]
) -> None:
    make(root / "ingest" / "a")

    with pytest.raises(StorageError):
        await store.ingest("a")

    (root / "ingest" / "a").rename(root / "ingest" / "b")
    ingest = await store.ingest("a")
    ingest.close()


async def test_a_file_that_was_not_synced_is_given_up(root: Path, clock: SetClock) -> None:
    store = FilesystemBlobStore(root, clock, checkpoint=raising_once_at("publish.sealed"))
    ingest = await begun(store, "a", CONTENT)
    assert await content_of(ingest.written(0, 5)) == CONTENT[:5]

    with pytest.raises(StorageError, match=r"^cannot publish a blob: Input/output error$"):
        await ingest.publish(DIGEST)

    for attempt in (ingest.publish(DIGEST), ingest.write(b"more")):
        with pytest.raises(StorageError, match=r"ended|gone"):
            await attempt
    with pytest.raises(StorageError):
        await content_of(ingest.written(0, 5))
    await ingest.abort()
    ingest.close()
    assert store.open(DIGEST) is None
    assert list((root / "ingest").iterdir()) == []


async def test_bytes_that_nobody_wrote_are_not_published(
    root: Path, store: FilesystemBlobStore
) -> None:
    ingest = await begun(store, "a", CONTENT)
    with (root / "ingest" / "a").open("ab") as file:
        file.write(b"the tail of a write that failed")

    await ingest.publish(DIGEST)
    ingest.close()

    assert await stored(store, DIGEST) == CONTENT


async def test_an_ingest_that_became_shorter_is_not_published(
    root: Path, store: FilesystemBlobStore
) -> None:
    ingest = await begun(store, "a", CONTENT)
    os.truncate(root / "ingest" / "a", 10)

    with pytest.raises(StorageError, match="shorter"):
        await ingest.publish(DIGEST)
    with pytest.raises(StorageError, match="shorter"):
        await ingest.verify(SHA512)
    with pytest.raises(StorageError):
        await content_of(ingest.written(5, 15))

    assert store.open(DIGEST) is None
    ingest.close()


async def test_a_cancelled_write_is_whole(root: Path, clock: SetClock) -> None:
    gate = Gate("ingest.written")
    store = FilesystemBlobStore(root, clock, checkpoint=gate)
    ingest = await store.ingest("a")
    writing = asyncio.create_task(ingest.write(CONTENT))
    await asyncio.to_thread(gate.reached.wait, 30)

    writing.cancel()
    await asyncio.sleep(0)
    assert not writing.done()
    with pytest.raises(StorageError, match="busy"):
        await ingest.write(b"meanwhile")
    gate.may_go_on.set()
    await asyncio.wait({writing})

    assert writing.cancelled()
    assert ingest.offset == len(CONTENT)
    await ingest.publish(DIGEST)
    ingest.close()
    assert await stored(store, DIGEST) == CONTENT


async def test_closing_waits_for_the_write_under_way(root: Path, clock: SetClock) -> None:
    gate = Gate("ingest.written")
    store = FilesystemBlobStore(root, clock, checkpoint=gate)
    ingest = await store.ingest("a")
    writing = asyncio.create_task(ingest.write(CONTENT))
    await asyncio.to_thread(gate.reached.wait, 30)

    ingest.close()
    with pytest.raises(StorageError, match="open already"):
        await store.ingest("a")
    gate.may_go_on.set()
    await writing

    again = await store.ingest("a")
    assert again.offset == len(CONTENT)
    again.close()


async def test_a_range_is_hashed_while_the_next_chunk_is_written(
    root: Path, clock: SetClock
) -> None:
    gate = Gate("ingest.written")
    store = FilesystemBlobStore(root, clock, checkpoint=gate)
    ingest = await store.ingest("a")
    writing = asyncio.create_task(ingest.write(CONTENT))
    await asyncio.to_thread(gate.reached.wait, 30)

    assert await ingest.hash_range(5, 50) == digest_of(CONTENT[5:50]).encoded

    gate.may_go_on.set()
    await writing
    ingest.close()


async def test_a_long_ingest_is_hashed_whole(store: FilesystemBlobStore) -> None:
    content = os.urandom(1 << 20) * 33 + b"the end"
    before = await begun(store, "a", content)
    before.close()

    ingest = await store.ingest("a")

    assert ingest.offset == len(content)
    assert ingest.digest() == digest_of(content)
    await ingest.verify(digest_of(content, "sha512"))
    ingest.close()
