"""What every blob store promises about blobs on their way in."""

import asyncio
import hashlib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from mirror.oci.digest import Digest, digest_of
from mirror.ports.blobs import BlobStore, DigestMismatch, Ingest, StorageError
from tests.conformance.blobs import WORLDS, World, begun, content_of, listed, stored

CHUNKS = [b"first " * 1000, b"second " * 20_000, b"", b"third"]
CONTENT = b"".join(CHUNKS)
DIGEST = digest_of(CONTENT)
DIGESTS = [DIGEST, digest_of(CONTENT, "sha512")]


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    build: Callable[[Path], World] = request.param
    return build(tmp_path)


@pytest.fixture
def store(world: World) -> BlobStore:
    return world.start()


@pytest.mark.parametrize("digest", DIGESTS, ids=lambda digest: digest.algorithm)
async def test_chunks_become_a_blob(store: BlobStore, digest: Digest) -> None:
    ingest = await begun(store, "upload-1", *CHUNKS)

    await ingest.publish(digest)
    ingest.close()

    assert await stored(store, digest) == CONTENT


async def test_offset_and_digest_keep_up_with_the_bytes(store: BlobStore) -> None:
    ingest = await store.ingest("a")
    so_far = b""
    for chunk in [b"", *CHUNKS]:
        await ingest.write(chunk)
        so_far += chunk
        assert ingest.offset == len(so_far)
        assert ingest.digest() == digest_of(so_far)
    ingest.close()


async def test_hashing_can_go_on_elsewhere(store: BlobStore) -> None:
    ingest = await begun(store, "a", b"on disk, ")
    hasher = ingest.hasher()

    hasher.update(b"not on disk")

    assert hasher.hexdigest() == hashlib.sha256(b"on disk, not on disk").hexdigest()
    assert ingest.digest() == digest_of(b"on disk, ")
    ingest.close()


@pytest.mark.parametrize("digest", DIGESTS, ids=lambda digest: digest.algorithm)
async def test_the_wrong_bytes_are_never_published(store: BlobStore, digest: Digest) -> None:
    ingest = await begun(store, "a", CONTENT[:-1], b"!")

    for refused in (ingest.verify(digest), ingest.publish(digest)):
        with pytest.raises(DigestMismatch) as refusal:
            await refused
        assert refusal.value.actual == digest_of(CONTENT[:-1] + b"!", digest.algorithm)

    assert store.open(digest) is None
    assert await listed(store) == []
    await ingest.abort()
    ingest.close()


@pytest.mark.parametrize("digest", DIGESTS, ids=lambda digest: digest.algorithm)
async def test_what_verified_once_is_verified_again_when_it_grew(
    store: BlobStore, digest: Digest
) -> None:
    ingest = await begun(store, "a", *CHUNKS)
    await ingest.verify(digest)

    await ingest.write(b"and more")

    with pytest.raises(DigestMismatch):
        await ingest.publish(digest)
    ingest.close()


async def test_an_ingest_goes_on_after_a_mismatch(store: BlobStore) -> None:
    ingest = await begun(store, "a", CONTENT[:100])
    with pytest.raises(DigestMismatch):
        await ingest.publish(DIGEST)

    await ingest.write(CONTENT[100:])
    await ingest.publish(DIGEST)
    ingest.close()

    assert await stored(store, DIGEST) == CONTENT


async def test_publishing_what_is_there_is_success(store: BlobStore) -> None:
    await store.put(DIGEST, CONTENT)
    ingest = await begun(store, "a", *CHUNKS)

    await ingest.publish(DIGEST)
    ingest.close()

    assert await stored(store, DIGEST) == CONTENT
    assert await offset_of(store, "a") == 0


async def test_publishing_at_once_is_success_for_all(store: BlobStore) -> None:
    ingests = [await begun(store, f"upload-{number}", *CHUNKS) for number in range(8)]

    await asyncio.gather(*(ingest.publish(DIGEST) for ingest in ingests))
    for ingest in ingests:
        ingest.close()

    assert await stored(store, DIGEST) == CONTENT
    assert await listed(store) == [DIGEST]


@pytest.mark.parametrize("digest", DIGESTS, ids=lambda digest: digest.algorithm)
async def test_a_closed_ingest_resumes_after_a_restart(world: World, digest: Digest) -> None:
    before = await begun(world.start(), "upload-1", CONTENT[:3000], CONTENT[3000:7001])
    before.close()

    store = world.start()
    ingest = await store.ingest("upload-1")
    assert ingest.offset == 7001
    assert ingest.digest() == digest_of(CONTENT[:7001])
    assert ingest.hasher().hexdigest() == digest_of(CONTENT[:7001]).encoded
    assert await content_of(ingest.written(0, 7001)) == CONTENT[:7001]

    await ingest.write(CONTENT[7001:])
    await ingest.publish(digest)
    ingest.close()
    assert await stored(store, digest) == CONTENT


async def test_ids_are_separate(store: BlobStore) -> None:
    first = await begun(store, "a", b"for a")
    second = await begun(store, "A", b"for A, longer")

    assert (first.offset, second.offset) == (5, 13)
    assert await content_of(first.written(0, 5)) == b"for a"

    first.close()
    second.close()


async def test_an_ingest_has_one_owner(store: BlobStore) -> None:
    ingest = await begun(store, "a", b"mine")

    with pytest.raises(StorageError, match="open already"):
        await store.ingest("a")

    ingest.close()
    assert await offset_of(store, "a") == 4


async def test_closing_late_takes_nothing_from_the_next_owner(store: BlobStore) -> None:
    first = await begun(store, "a", b"one")
    await first.abort()
    second = await begun(store, "a", b"two")

    first.close()

    with pytest.raises(StorageError, match="open already"):
        await store.ingest("a")
    await second.publish(digest_of(b"two"))
    second.close()


@pytest.mark.parametrize(
    "ingest_id",
    ["", ".", "..", "../a", "a/b", "/etc/passwd", "a\n", "a\0", "ä", "a.b", ".put-1", "a" * 129],
)
async def test_an_id_is_never_a_path(store: BlobStore, ingest_id: str) -> None:
    with pytest.raises(ValueError, match="ingest id"):
        await store.ingest(ingest_id)


@pytest.mark.parametrize("ingest_id", ["a", "-", "_", "0123-ABC_xyz", "a" * 128])
async def test_ids_are_letters_digits_and_dashes(store: BlobStore, ingest_id: str) -> None:
    ingest = await begun(store, ingest_id, b"content")
    await ingest.publish(digest_of(b"content"))
    ingest.close()


async def test_aborting_forgets_the_bytes(world: World, store: BlobStore) -> None:
    ingest = await begun(store, "a", *CHUNKS)

    await ingest.abort()
    await ingest.abort()
    ingest.close()

    assert await offset_of(world.start(), "a") == 0


async def test_readers_go_on_after_aborting(store: BlobStore) -> None:
    ingest = await begun(store, "a", *CHUNKS)

    await ingest.abort()

    assert await content_of(ingest.written(0, len(CONTENT))) == CONTENT
    assert await offset_of(store, "a") == 0
    ingest.close()


async def test_aborting_after_publishing_is_harmless(store: BlobStore) -> None:
    ingest = await begun(store, "a", *CHUNKS)
    await ingest.publish(DIGEST)

    await ingest.abort()
    ingest.close()

    assert await stored(store, DIGEST) == CONTENT


async def test_quarantined_bytes_are_not_resumed(world: World, store: BlobStore) -> None:
    ingest = await begun(store, "a", b"not what it should be")

    await ingest.quarantine("the upstream sent something else")
    ingest.close()

    assert await offset_of(world.start(), "a") == 0
    assert await listed(store) == []


async def publish(ingest: Ingest) -> None:
    await ingest.publish(DIGEST)


async def abort(ingest: Ingest) -> None:
    await ingest.abort()


async def quarantine(ingest: Ingest) -> None:
    await ingest.quarantine("tested")


async def close(ingest: Ingest) -> None:
    ingest.close()


@pytest.mark.parametrize("end", [publish, abort, quarantine, close])
async def test_nothing_is_written_after_the_end(
    store: BlobStore, end: Callable[[Ingest], "asyncio.Future[None]"]
) -> None:
    ingest = await begun(store, "a", *CHUNKS)
    await end(ingest)

    with pytest.raises(StorageError):
        await ingest.write(b"more")
    with pytest.raises(StorageError):
        await ingest.publish(digest_of(CONTENT))
    ingest.close()
    ingest.close()


async def test_readers_follow_what_is_written(store: BlobStore) -> None:
    ingest = await store.ingest("a")
    early = b""
    for chunk in CHUNKS:
        position = ingest.offset
        await ingest.write(chunk)
        early += await content_of(ingest.written(position, ingest.offset))
        late = await content_of(ingest.written(0, ingest.offset))
        assert late == early
    assert early == CONTENT
    ingest.close()


@pytest.mark.parametrize("followed_before", [True, False])
async def test_readers_follow_beyond_publishing_and_deleting(
    store: BlobStore, *, followed_before: bool
) -> None:
    ingest = await begun(store, "a", *CHUNKS)
    if followed_before:
        assert await content_of(ingest.written(0, 100)) == CONTENT[:100]

    await ingest.publish(DIGEST)
    assert await content_of(ingest.written(100, 5000)) == CONTENT[100:5000]
    await store.delete(DIGEST)
    assert await content_of(ingest.written(5000, len(CONTENT))) == CONTENT[5000:]

    ingest.close()
    with pytest.raises(StorageError):
        await content_of(ingest.written(0, 1))


@pytest.mark.parametrize(("start", "stop"), [(0, 6), (5, 6), (-1, 2), (3, 2)])
async def test_only_what_is_written_is_read(store: BlobStore, start: int, stop: int) -> None:
    ingest = await begun(store, "a", b"12345")

    with pytest.raises(StorageError):
        await content_of(ingest.written(start, stop))

    assert await content_of(ingest.written(5, 5)) == b""
    ingest.close()


async def test_any_written_range_is_hashed(store: BlobStore) -> None:
    ingest = await begun(store, "a", *CHUNKS)

    assert await ingest.hash_range(0, len(CONTENT)) == DIGEST.encoded
    assert await ingest.hash_range(7, 7000) == digest_of(CONTENT[7:7000]).encoded
    assert await ingest.hash_range(9, 9) == digest_of(b"").encoded
    with pytest.raises(StorageError):
        await ingest.hash_range(1, len(CONTENT) + 1)

    await ingest.publish(DIGEST)
    assert await ingest.hash_range(7, 7000) == digest_of(CONTENT[7:7000]).encoded
    ingest.close()


async def test_only_abandoned_ingests_are_swept(world: World, store: BlobStore) -> None:
    old = await begun(store, "old", b"x" * 1000)
    old.close()
    still_open = await begun(store, "open", b"y" * 100)
    world.clock.pass_by(timedelta(days=2))
    recent = await begun(store, "recent", b"z" * 10)
    recent.close()

    assert await store.sweep_ingests(world.clock.now() - timedelta(days=1)) == 1000

    assert await offset_of(store, "old") == 0
    assert await offset_of(store, "recent") == 10
    await still_open.publish(digest_of(b"y" * 100))
    still_open.close()


async def test_writing_puts_off_the_sweep(world: World, store: BlobStore) -> None:
    ingest = await begun(store, "a", b"begun long ago, ")
    world.clock.pass_by(timedelta(days=2))
    await ingest.write(b"written to today")
    ingest.close()

    assert await store.sweep_ingests(world.clock.now() - timedelta(days=1)) == 0

    assert await offset_of(store, "a") == 32


async def test_what_ended_leaves_nothing_to_sweep(world: World, store: BlobStore) -> None:
    published = await begun(store, "a", *CHUNKS)
    await published.publish(DIGEST)
    published.close()
    aborted = await begun(store, "b", *CHUNKS)
    await aborted.abort()
    aborted.close()
    with pytest.raises(DigestMismatch):
        await store.put(DIGEST, b"wrong")
    await store.put(DIGEST, CONTENT)
    world.clock.pass_by(timedelta(days=2))

    assert await store.sweep_ingests(world.clock.now()) == 0
    assert await stored(store, DIGEST) == CONTENT


async def offset_of(store: BlobStore, ingest_id: str) -> int:
    """What an ingest of this id would resume with."""
    ingest = await store.ingest(ingest_id)
    ingest.close()
    return ingest.offset
