"""The cache in the face of pushes and collections, and of reads that overlap with them."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from mirror.metadata.cached import CachedMetadata
from mirror.ports.metadata import MetadataError, TagRecord
from tests.conformance.metadata import (
    LATEST,
    NGINX,
    STABLE,
    at,
    blob,
    digest,
    image_of,
    layer,
    manifest,
    put_image,
)
from tests.conformance.pushing import APP, COPY, collect_links, layers_of, push_image, pushed
from tests.metadata.slow import SlowMetadata

OLD = TagRecord(manifest("old"), at(1))
NEW = TagRecord(manifest("new"), at(2))
PUSH = pushed(manifest("new"), None, LATEST, seconds=2)

Change = Callable[[CachedMetadata], Awaitable[object]]


@pytest.fixture
def beneath() -> SlowMetadata:
    return SlowMetadata()


@pytest.fixture
async def cached(beneath: SlowMetadata) -> CachedMetadata:
    """Has answered what is asked when an image is pulled."""
    await push_image(beneath, "old", layers_of("a"), LATEST, STABLE, seconds=1)
    await beneath.mount_blob(APP, digest("a"), at(1))
    cached = CachedMetadata(beneath)
    await pull(cached)
    return cached


async def pull(cached: CachedMetadata) -> None:
    await cached.get_tag(APP, LATEST)
    await cached.get_tag(APP, STABLE)
    await cached.get_manifest(APP, digest("old"))
    await cached.get_blob(APP, digest("a"))
    await cached.linked_size(APP, digest("a"))


async def test_a_hosted_image_is_pulled_from_memory(
    beneath: SlowMetadata, cached: CachedMetadata
) -> None:
    for _ in range(3):
        await pull(cached)

    assert beneath.reads == {"tag": 2, "manifest": 1, "blob": 1, "size": 1}
    assert cached.peek_tag(APP, LATEST) == OLD
    assert cached.peek_manifest(APP, digest("old")) == manifest("old")
    assert cached.peek_blob(APP, digest("a")) == blob(layer("a"))


async def test_a_push_takes_only_its_tags_from_memory(
    beneath: SlowMetadata, cached: CachedMetadata
) -> None:
    await cached.push_manifest(PUSH)
    assert cached.peek_tag(APP, LATEST) is None
    await pull(cached)

    assert cached.peek_tag(APP, LATEST) == NEW
    assert cached.peek_tag(APP, STABLE) == OLD
    assert beneath.reads == {"tag": 3, "manifest": 1, "blob": 1, "size": 1}


async def test_a_push_that_fails_leaves_no_doubt(
    beneath: SlowMetadata, cached: CachedMetadata
) -> None:
    beneath.is_broken = True

    with pytest.raises(MetadataError):
        await cached.push_manifest(PUSH)

    assert await cached.get_tag(APP, LATEST) == NEW, "it was recorded all the same"


async def test_an_answer_from_before_a_push_is_not_remembered_after_it(
    beneath: SlowMetadata, cached: CachedMetadata
) -> None:
    cached = CachedMetadata(beneath)
    beneath.answers.shut()
    reading = asyncio.create_task(cached.get_tag(APP, LATEST))
    await beneath.answers.reached(6)

    await cached.push_manifest(PUSH)
    beneath.answers.open()

    assert await reading == OLD
    assert cached.peek_tag(APP, LATEST) is None


async def test_a_push_goes_on_without_whoever_wanted_it(
    beneath: SlowMetadata, cached: CachedMetadata
) -> None:
    beneath.before.shut()
    pushing = asyncio.create_task(cached.push_manifest(PUSH))
    await beneath.before.reached(2)
    pushing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pushing
    assert await cached.get_tag(APP, LATEST) == OLD

    beneath.before.open()
    await cached.close()

    assert cached.peek_tag(APP, LATEST) is None
    assert await beneath.get_tag(APP, LATEST) == NEW


async def test_a_removal_leaves_what_the_blobs_are_in_memory(cached: CachedMetadata) -> None:
    await cached.remove_manifest(APP, digest("old"))

    assert cached.peek_tag(APP, LATEST) is None
    assert cached.peek_tag(APP, STABLE) is None
    assert cached.peek_manifest(APP, digest("old")) is None
    assert cached.peek_blob(APP, digest("a")) == blob(layer("a"))
    assert await cached.linked_size(APP, digest("a")) is None


async def test_an_unlinked_blob_stays_in_memory_elsewhere(
    beneath: SlowMetadata, cached: CachedMetadata
) -> None:
    await beneath.mount_blob(COPY, digest("a"), at(1))
    await cached.get_blob(COPY, digest("a"))
    await cached.unlink_blob(COPY, digest("a"))

    assert cached.peek_blob(COPY, digest("a")) is None
    assert cached.peek_blob(APP, digest("a")) == blob(layer("a"))


async def test_collected_links_are_forgotten_in_hosted_repositories_alone(
    beneath: SlowMetadata, cached: CachedMetadata
) -> None:
    await put_image(beneath, NGINX, "m", layers_of("a"))
    await cached.get_blob(NGINX, digest("a"))
    await cached.remove_manifest(APP, digest("old"))

    assert await collect_links(cached, at(9)) == 1

    assert await cached.get_blob(APP, digest("a")) is None
    assert cached.peek_blob(NGINX, digest("a")) == blob(layer("a"))


async def test_where_no_link_went_none_is_forgotten(cached: CachedMetadata) -> None:
    """Looking for them takes many calls, most of which find none."""
    assert await collect_links(cached, at(9)) == 0

    assert cached.peek_blob(APP, digest("a")) == blob(layer("a"))


CHANGES: dict[str, Change] = {
    "unlinked": lambda cached: cached.unlink_blob(APP, digest("b")),
    "collected": lambda cached: cached.collect_blobs([digest("b")], at(9)),
    "unlinked by a collection": lambda cached: cached.collect_links(at(9), None, 10),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
async def test_an_answer_from_before_it_went_is_not_remembered(
    beneath: SlowMetadata, change: Change
) -> None:
    """Nor need anything else of the repository be remembered for that."""
    cached = CachedMetadata(beneath)
    await beneath.put_blob(APP, blob(layer("b")), at(1))
    beneath.answers.shut()
    reading = asyncio.create_task(cached.get_blob(APP, digest("b")))
    await beneath.answers.reached(1)

    await change(cached)
    beneath.answers.open()

    assert await reading == blob(layer("b"))
    assert cached.peek_blob(APP, digest("b")) is None


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
async def test_it_is_forgotten_before_whoever_wanted_it_hears(
    beneath: SlowMetadata, cached: CachedMetadata, change: Change
) -> None:
    await beneath.put_blob(APP, blob(layer("b")), at(1))
    await cached.get_blob(APP, digest("b"))
    beneath.after.shut()
    changing = asyncio.ensure_future(change(cached))
    await beneath.after.reached(2)
    changing.cancel()
    await asyncio.wait({changing})

    beneath.after.open()
    await cached.close()

    assert cached.peek_blob(APP, digest("b")) is None


async def test_a_lent_blob_is_there_once_it_is_asked_for(cached: CachedMetadata) -> None:
    """That it was not there before was not remembered."""
    await cached.put_blob(NGINX, blob(layer("lent")), at(1))
    assert await cached.get_blob(APP, digest("lent")) is None

    await cached.push_manifest(pushed(manifest("m"), image_of(layer("lent")), lender=NGINX))

    assert await cached.get_blob(APP, digest("lent")) == blob(layer("lent"))
