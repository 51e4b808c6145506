"""The cache in the face of reads and writes that overlap."""

import asyncio

import pytest

from mirror.metadata.cached import CachedMetadata, CacheSizes
from mirror.oci.reference import Tag
from mirror.ports.metadata import (
    BlobRecord,
    MetadataError,
    QuickFacts,
)
from tests.conformance.metadata import (
    LATEST,
    NGINX,
    REDIS,
    STABLE,
    at,
    blob,
    digest,
    idle_manifests,
    image_of,
    layer,
    manifest,
    put_image,
    tagged,
)
from tests.metadata.slow import SlowMetadata

OLD = tagged(manifest("old"), 1)
NEW = tagged(manifest("new"), 2)


@pytest.fixture
def beneath() -> SlowMetadata:
    return SlowMetadata()


@pytest.fixture
def cached(beneath: SlowMetadata) -> CachedMetadata:
    return CachedMetadata(beneath)


async def test_what_was_asked_once_is_answered_from_memory(
    beneath: SlowMetadata, cached: CachedMetadata
) -> None:
    await put_image(beneath, NGINX, "m", [layer("a", 7)])
    await beneath.put_tag(NGINX, LATEST, tagged(manifest("m")))
    facts: QuickFacts = cached
    assert facts.peek_tag(NGINX, LATEST) is None

    for _ in range(3):
        assert await cached.get_tag(NGINX, LATEST) == tagged(manifest("m"))
        assert await cached.get_manifest(NGINX, digest("m")) == manifest("m")
        assert await cached.get_blob(NGINX, digest("a")) == BlobRecord(digest("a"), 7)
        assert await cached.linked_size(NGINX, digest("a")) == 7

    assert beneath.reads == {"tag": 1, "manifest": 1, "blob": 1, "size": 1}
    assert facts.peek_tag(NGINX, LATEST) == tagged(manifest("m"))
    assert facts.peek_manifest(NGINX, digest("m")) == manifest("m")
    assert facts.peek_blob(NGINX, digest("a")) == BlobRecord(digest("a"), 7)


async def test_what_was_written_needs_no_reading(cached: CachedMetadata) -> None:
    await cached.put_tag(NGINX, LATEST, OLD)
    await cached.put_tag(NGINX, LATEST, NEW)
    await cached.put_blob(NGINX, blob(layer("a")), at(0))

    assert cached.peek_tag(NGINX, LATEST) == NEW
    assert cached.peek_blob(NGINX, digest("a")) == blob(layer("a"))


async def test_memory_is_bounded(beneath: SlowMetadata) -> None:
    cached = CachedMetadata(beneath, CacheSizes(tags=10, manifests=10, blobs=10, linked_sizes=10))
    for number in range(100):
        await cached.put_tag(NGINX, Tag(f"t{number}"), OLD)

    known = [number for number in range(100) if cached.peek_tag(NGINX, Tag(f"t{number}"))]
    assert known == list(range(90, 100))


async def test_an_answer_from_before_a_write_is_not_remembered_after_it(
    beneath: SlowMetadata, cached: CachedMetadata
) -> None:
    await beneath.put_tag(NGINX, LATEST, OLD)
    beneath.answers.shut()
    reading = asyncio.create_task(cached.get_tag(NGINX, LATEST))
    await beneath.answers.reached(1)

    await cached.put_tag(NGINX, LATEST, NEW)
    beneath.answers.open()

    assert await reading == OLD
    assert cached.peek_tag(NGINX, LATEST) == NEW


async def test_an_answer_from_before_a_deletion_is_not_remembered_after_it(
    beneath: SlowMetadata, cached: CachedMetadata
) -> None:
    await beneath.put_tag(NGINX, LATEST, OLD)
    beneath.answers.shut()
    reading = asyncio.create_task(cached.get_tag(NGINX, LATEST))
    await beneath.answers.reached(1)

    await cached.delete_tag(NGINX, LATEST)
    beneath.answers.open()

    assert await reading == OLD
    assert cached.peek_tag(NGINX, LATEST) is None


async def test_an_answer_given_during_a_write_is_forgotten_at_its_end(
    beneath: SlowMetadata, cached: CachedMetadata
) -> None:
    await beneath.put_tag(NGINX, LATEST, OLD)
    beneath.before.shut()
    writing = asyncio.create_task(cached.put_tag(NGINX, LATEST, NEW))
    await beneath.before.reached(2)

    assert await cached.get_tag(NGINX, LATEST) == OLD
    beneath.before.open()
    await writing

    assert cached.peek_tag(NGINX, LATEST) == NEW


async def test_an_answer_asked_for_during_a_write_is_not_remembered_after_it(
    beneath: SlowMetadata, cached: CachedMetadata
) -> None:
    await beneath.put_tag(NGINX, LATEST, OLD)
    beneath.before.shut()
    beneath.answers.shut()
    writing = asyncio.create_task(cached.put_tag(NGINX, LATEST, NEW))
    await beneath.before.reached(2)
    reading = asyncio.create_task(cached.get_tag(NGINX, LATEST))
    await beneath.answers.reached(1)

    beneath.before.open()
    await writing
    beneath.answers.open()

    assert await reading == OLD
    assert cached.peek_tag(NGINX, LATEST) == NEW


async def test_of_writes_that_overlap_neither_is_remembered(
    beneath: SlowMetadata, cached: CachedMetadata
) -> None:
    """Which of them came last in the store is not known here."""
    beneath.after.shut()
    first = asyncio.create_task(cached.put_tag(NGINX, LATEST, OLD))
    await beneath.after.reached(1)
    second = asyncio.create_task(cached.put_tag(NGINX, LATEST, NEW))
    await beneath.after.reached(2)
    beneath.after.open()
    await asyncio.gather(first, second)

    assert cached.peek_tag(NGINX, LATEST) is None
    assert await cached.get_tag(NGINX, LATEST) == NEW


async def test_writes_and_answers_about_other_things_do_not_interfere(
    beneath: SlowMetadata, cached: CachedMetadata
) -> None:
    await beneath.put_tag(REDIS, LATEST, OLD)
    beneath.answers.shut()
    reading = asyncio.create_task(cached.get_tag(REDIS, LATEST))
    await beneath.answers.reached(1)
    beneath.after.shut()
    writes = [
        asyncio.create_task(cached.put_tag(repository, tag, NEW))
        for repository, tag in ((NGINX, LATEST), (NGINX, STABLE), (REDIS, STABLE))
    ]
    await beneath.after.reached(4)
    beneath.after.open()
    await asyncio.gather(*writes)
    beneath.answers.open()
    await reading

    assert cached.peek_tag(REDIS, LATEST) == OLD
    for repository, tag in ((NGINX, LATEST), (NGINX, STABLE), (REDIS, STABLE)):
        assert cached.peek_tag(repository, tag) == NEW


async def test_a_write_that_fails_leaves_nothing_remembered(
    beneath: SlowMetadata, cached: CachedMetadata
) -> None:
    await cached.put_tag(NGINX, LATEST, OLD)
    beneath.is_broken = True

    with pytest.raises(MetadataError, match="disk"):
        await cached.put_tag(NGINX, LATEST, NEW)

    assert cached.peek_tag(NGINX, LATEST) is None


async def test_a_write_whose_caller_went_away_is_not_missed(
    beneath: SlowMetadata, cached: CachedMetadata
) -> None:
    await cached.put_tag(NGINX, LATEST, OLD)
    beneath.before.shut()
    writing = asyncio.create_task(cached.put_tag(NGINX, LATEST, NEW))
    await beneath.before.reached(2)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert await cached.get_tag(NGINX, LATEST) == OLD

    beneath.before.open()
    await cached.close()

    assert cached.peek_tag(NGINX, LATEST) == NEW


async def test_the_failure_of_a_write_whose_caller_went_away_is_nobodys(
    beneath: SlowMetadata, cached: CachedMetadata
) -> None:
    beneath.is_broken = True
    beneath.after.shut()
    writing = asyncio.create_task(cached.put_tag(NGINX, LATEST, NEW))
    await beneath.after.reached(1)
    writing.cancel()
    beneath.after.open()

    await cached.close()

    assert cached.peek_tag(NGINX, LATEST) is None


@pytest.mark.parametrize("removal", ["delete", "evict", "forget"])
async def test_a_blob_asked_about_before_it_was_removed_is_not_remembered_after(
    beneath: SlowMetadata, cached: CachedMetadata, removal: str
) -> None:
    await put_image(beneath, NGINX, "m", [layer("a")])
    idle = await idle_manifests(beneath)
    beneath.answers.shut()
    reading = asyncio.create_task(cached.get_blob(NGINX, digest("a")))
    await beneath.answers.reached(1)

    if removal == "delete":
        await cached.delete_manifest(NGINX, digest("m"))
    elif removal == "evict":
        await cached.evict(idle, [], at(99))
    else:
        await cached.forget_blob(digest("a"))
    beneath.answers.open()

    assert await reading == blob(layer("a"))
    assert cached.peek_blob(NGINX, digest("a")) is None


async def test_the_sizes_that_a_new_manifest_tells_need_no_reading(
    beneath: SlowMetadata, cached: CachedMetadata
) -> None:
    await cached.put_manifest(NGINX, manifest("m"), image_of(layer("a", 7), layer("b", 8)), at(0))

    assert await cached.linked_size(NGINX, digest("a")) == 7
    assert await cached.linked_size(NGINX, digest("b")) == 8
    assert not beneath.reads


async def test_a_size_that_was_told_while_its_manifest_went_is_not_remembered(
    beneath: SlowMetadata, cached: CachedMetadata
) -> None:
    beneath.after.shut()
    putting = asyncio.create_task(
        cached.put_manifest(NGINX, manifest("m"), image_of(layer("a", 7)), at(0))
    )
    await beneath.after.reached(1)
    deleting = asyncio.create_task(cached.delete_manifest(NGINX, digest("m")))
    await beneath.after.reached(2)
    beneath.after.open()
    await asyncio.gather(deleting, putting)

    assert await cached.linked_size(NGINX, digest("a")) is None


async def test_eviction_leaves_other_repositories_in_memory(cached: CachedMetadata) -> None:
    for repository in (NGINX, REDIS):
        await put_image(cached, repository, "m", [layer("a")])
        await cached.put_tag(repository, LATEST, tagged(manifest("m")))
        await cached.put_tag(repository, STABLE, tagged(manifest("other")))
        await cached.get_manifest(repository, digest("m"))
    idle = [entry for entry in await idle_manifests(cached) if entry.repository == NGINX]

    await cached.evict(idle, [digest("m"), digest("a")], at(99))

    assert cached.peek_tag(NGINX, LATEST) is None
    assert cached.peek_manifest(NGINX, digest("m")) is None
    assert cached.peek_blob(NGINX, digest("a")) is None
    assert cached.peek_tag(REDIS, LATEST) == tagged(manifest("m"))
    assert cached.peek_tag(REDIS, STABLE) == tagged(manifest("other"))
    assert cached.peek_manifest(REDIS, digest("m")) == manifest("m")
