"""What every blob store promises about blobs that are there."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from mirror.oci.digest import Digest, digest_of
from mirror.ports.blobs import BlobStore, DigestMismatch, StorageError
from tests.conformance.blobs import WORLDS, World, begun, content_of, listed, stored

CONTENT = bytes(range(256)) * 300
DIGEST = digest_of(CONTENT)
OTHER = digest_of(b"something else")
DIGESTS = [DIGEST, digest_of(CONTENT, "sha512")]


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    build: Callable[[Path], World] = request.param
    return build(tmp_path)


@pytest.fixture
def store(world: World) -> BlobStore:
    return world.start()


async def test_what_was_never_stored_is_absent(store: BlobStore) -> None:
    assert store.open(DIGEST) is None
    assert await store.read(DIGEST, 10) is None
    assert await store.delete(DIGEST) is False
    assert await store.quarantine(DIGEST, "no reason") is False
    assert await listed(store) == []


@pytest.mark.parametrize("digest", DIGESTS, ids=lambda digest: digest.algorithm)
async def test_a_blob_put_is_there_after_a_restart(world: World, digest: Digest) -> None:
    await world.start().put(digest, CONTENT)

    store = world.start()

    assert await stored(store, digest) == CONTENT
    assert await store.read(digest, len(CONTENT)) == CONTENT


async def test_algorithms_do_not_share_a_blob(store: BlobStore) -> None:
    await store.put(DIGESTS[0], CONTENT)

    assert store.open(DIGESTS[1]) is None


async def test_an_empty_blob_is_a_blob(store: BlobStore) -> None:
    empty = digest_of(b"")

    await store.put(empty, b"")

    assert await stored(store, empty) == b""
    assert await store.read(empty, 0) == b""


@pytest.mark.parametrize(
    ("start", "stop"), [(0, 1), (1, 2), (255, 70_001), (len(CONTENT) - 1, len(CONTENT)), (5, 5)]
)
async def test_any_range_is_read(store: BlobStore, start: int, stop: int) -> None:
    await store.put(DIGEST, CONTENT)
    blob = store.open(DIGEST)
    assert blob is not None

    assert await content_of(blob.pieces(start, stop)) == CONTENT[start:stop]

    blob.close()


@pytest.mark.parametrize(
    ("start", "stop"), [(0, len(CONTENT) + 1), (-1, 1), (2, 1), (10**9, 10**9)]
)
async def test_a_range_beyond_the_blob_is_a_failure(
    store: BlobStore, start: int, stop: int
) -> None:
    await store.put(DIGEST, CONTENT)
    blob = store.open(DIGEST)
    assert blob is not None

    with pytest.raises(StorageError):
        await content_of(blob.pieces(start, stop))

    blob.close()


async def test_closing_twice_is_harmless_and_ends_reading(store: BlobStore) -> None:
    await store.put(DIGEST, CONTENT)
    blob = store.open(DIGEST)
    assert blob is not None
    blob.close()
    blob.close()

    with pytest.raises(StorageError):
        await content_of(blob.pieces(0, 1))


async def test_putting_twice_is_putting_once(store: BlobStore) -> None:
    await store.put(DIGEST, CONTENT)
    await store.put(DIGEST, CONTENT)

    assert await listed(store) == [DIGEST]


async def test_putting_at_once_is_putting_once(store: BlobStore) -> None:
    await asyncio.gather(*(store.put(DIGEST, CONTENT) for _ in range(8)))

    assert await stored(store, DIGEST) == CONTENT
    assert await listed(store) == [DIGEST]


@pytest.mark.parametrize("digest", DIGESTS, ids=lambda digest: digest.algorithm)
async def test_other_bytes_than_the_digest_says_are_refused(
    store: BlobStore, digest: Digest
) -> None:
    with pytest.raises(DigestMismatch) as refusal:
        await store.put(digest, b"wrong")

    assert refusal.value.expected == digest
    assert refusal.value.actual == digest_of(b"wrong", digest.algorithm)
    assert store.open(digest) is None
    assert await listed(store) == []


async def test_a_blob_longer_than_the_limit_is_not_read(store: BlobStore) -> None:
    await store.put(DIGEST, CONTENT)

    with pytest.raises(StorageError):
        await store.read(DIGEST, len(CONTENT) - 1)


async def test_a_deleted_blob_is_gone_and_can_come_back(store: BlobStore) -> None:
    await store.put(DIGEST, CONTENT)

    assert await store.delete(DIGEST) is True
    assert store.open(DIGEST) is None
    assert await store.delete(DIGEST) is False

    await store.put(DIGEST, CONTENT)
    assert await stored(store, DIGEST) == CONTENT


async def test_many_blobs_are_deleted_at_once(store: BlobStore) -> None:
    contents = [bytes([number]) * 10 for number in range(20)]
    digests = [digest_of(content) for content in contents]
    for digest, content in zip(digests, contents, strict=True):
        await store.put(digest, content)

    assert list(await store.delete_all([*digests[:-1], DIGEST])) == []

    assert [store.open(digest) for digest in digests[:-1]] == [None] * 19
    assert await stored(store, digests[-1]) == contents[-1]


async def test_deleting_does_not_disturb_who_reads(store: BlobStore) -> None:
    await store.put(DIGEST, CONTENT)
    blob = store.open(DIGEST)
    assert blob is not None

    await store.delete(DIGEST)

    assert blob.size == len(CONTENT)
    assert await content_of(blob.pieces(0, blob.size)) == CONTENT
    blob.close()


async def test_a_quarantined_blob_is_out_of_service(store: BlobStore) -> None:
    await store.put(DIGEST, CONTENT)

    assert await store.quarantine(DIGEST, "a reader found it wrong") is True

    assert store.open(DIGEST) is None
    assert await listed(store) == []
    await store.put(DIGEST, CONTENT)
    assert await stored(store, DIGEST) == CONTENT


async def test_blobs_are_listed_by_the_first_byte_of_their_digest(
    world: World, store: BlobStore
) -> None:
    contents = [str(number).encode() for number in range(20)]
    digests = {digest_of(content, "sha512"): content for content in contents[:10]}
    digests |= {digest_of(content): content for content in contents[10:]}
    for digest, content in digests.items():
        await store.put(digest, content)

    for shard in range(256):
        expected = {
            (digest, len(content), world.clock.now())
            for digest, content in digests.items()
            if digest.encoded.startswith(f"{shard:02x}")
        }
        assert set(await store.list_blobs(shard)) == expected


@pytest.mark.parametrize("shard", [-1, 256])
async def test_there_are_256_shards(store: BlobStore, shard: int) -> None:
    with pytest.raises(ValueError, match="shard"):
        await store.list_blobs(shard)


async def test_a_blob_arrives_when_it_is_published(world: World, store: BlobStore) -> None:
    ingest = await begun(store, "slow", CONTENT)
    world.clock.pass_by(timedelta(hours=1))
    await ingest.publish(DIGEST)
    ingest.close()

    assert await arrival(store, DIGEST) == world.clock.now()


async def test_a_blob_arrives_again_when_it_is_published_again(
    world: World, store: BlobStore
) -> None:
    await store.put(DIGEST, CONTENT)
    world.clock.pass_by(timedelta(days=3))

    await store.put(DIGEST, CONTENT)

    assert await arrival(store, DIGEST) == world.clock.now()


async def test_an_ingest_is_no_blob(store: BlobStore) -> None:
    ingest = await begun(store, "growing", CONTENT)

    assert store.open(DIGEST) is None
    assert await listed(store) == []

    await ingest.abort()
    ingest.close()


async def test_room_is_told(store: BlobStore) -> None:
    space = store.space()

    assert 0 < space.free <= space.total


async def arrival(store: BlobStore, digest: Digest) -> object:
    [(_, _, arrived_at)] = await store.list_blobs(int(digest.encoded[:2], 16))
    return arrived_at
