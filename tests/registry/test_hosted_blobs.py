"""Blobs of hosted repositories: who may have them, for how long, and what damage does."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from mirror.oci.errors import BlobUnknown, Unknown
from mirror.registry.hosted import ContentMissing
from mirror.registry.statistics import Result
from tests.conformance.pushing import collect_links
from tests.registry.hosting_bench import (
    CONFIG,
    IMAGE,
    LATEST,
    LAYER,
    RENEW_EVERY,
    TEAM,
    TO_TEAM,
    House,
    build,
    digest,
)
from tests.registry.one_layer import place_of, rewrite
from tests.registry.reading import fetch
from tests.registry.workbench import disk_ground

CONTENT = IMAGE.blobs[str(LAYER)]


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = build()
    await house.put_blobs(TEAM, IMAGE.blobs)
    yield house
    await house.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
async def on_disk(root: Path) -> AsyncIterator[House]:
    house = build(ground=disk_ground(root))
    await house.push(TEAM, "latest", IMAGE)
    yield house
    await house.close()


async def is_dead(house: House, age: timedelta) -> bool:
    """Whether a collection with this grace period would take the layer."""
    before = house.bench.clock.now() - age
    await house.bench.housekeeping.flush()
    dead = await house.bench.facts.list_dead_blobs(before, None, 10)
    return LAYER in {found.blob.digest for found in dead}


async def test_a_blob_is_served_before_there_is_a_manifest(house: House) -> None:
    head = await house.hosting.blobs.head(TO_TEAM, LAYER)

    assert (head.size, head.blob, head.handling.result) == (len(CONTENT), None, Result.HOSTED)
    assert await house.hosting.blobs.size(TO_TEAM, LAYER) == head
    assert await fetch(house.hosting.blobs, TO_TEAM, LAYER) == CONTENT


async def test_who_is_told_that_it_is_there_may_rely_on_it(house: House) -> None:
    house.bench.clock.advance(timedelta(days=3))
    assert await is_dead(house, timedelta(days=2))

    await house.hosting.blobs.head(TO_TEAM, LAYER)

    house.bench.clock.advance(timedelta(days=2) - timedelta(seconds=1))
    assert not await is_dead(house, timedelta(days=2))


async def test_a_link_is_not_renewed_for_every_question(house: House) -> None:
    await house.hosting.blobs.head(TO_TEAM, LAYER)
    house.bench.clock.advance(RENEW_EVERY - timedelta(seconds=1))
    first = house.bench.clock.now()
    await house.hosting.blobs.head(TO_TEAM, LAYER)
    assert await collect_links(house.bench.facts, first - timedelta(seconds=1)) == 2

    house.bench.clock.advance(timedelta(seconds=1))
    with pytest.raises(BlobUnknown):
        await house.hosting.blobs.head(TO_TEAM, LAYER)


async def test_a_link_is_renewed_when_its_time_comes(house: House) -> None:
    await house.hosting.blobs.head(TO_TEAM, LAYER)
    house.bench.clock.advance(RENEW_EVERY)
    await house.hosting.blobs.head(TO_TEAM, LAYER)

    just_before = house.bench.clock.now() - timedelta(seconds=1)
    assert await collect_links(house.bench.facts, just_before) == 1
    assert (await house.hosting.blobs.head(TO_TEAM, LAYER)).size == len(CONTENT)
    with pytest.raises(BlobUnknown):
        await house.hosting.blobs.head(TO_TEAM, CONFIG)


@pytest.mark.parametrize("damage", [b"", CONTENT[:-1], CONTENT + b"x"])
async def test_a_blob_of_another_length_is_never_served_and_can_be_pushed_again(
    on_disk: House, root: Path, damage: bytes
) -> None:
    rewrite(root, LAYER, damage)

    with pytest.raises(BlobUnknown):
        await on_disk.hosting.blobs.get(TO_TEAM, LAYER)
    with pytest.raises(BlobUnknown):
        await on_disk.hosting.blobs.head(TO_TEAM, LAYER)
    assert on_disk.bench.statistics.total("quarantined") == 1
    assert on_disk.hub.asked == []
    with pytest.raises(ContentMissing):
        await on_disk.put(TEAM, "again", IMAGE)

    await on_disk.put_blobs(TEAM, IMAGE.blobs)
    assert await fetch(on_disk.hosting.blobs, TO_TEAM, LAYER) == CONTENT


async def test_a_blob_without_its_file_is_missing_and_can_be_pushed_again(
    on_disk: House, root: Path
) -> None:
    place_of(root, LAYER).unlink()

    with pytest.raises(BlobUnknown):
        await on_disk.hosting.blobs.head(TO_TEAM, LAYER)

    await on_disk.put_blobs(TEAM, IMAGE.blobs)
    assert (await on_disk.hosting.blobs.head(TO_TEAM, LAYER)).size == len(CONTENT)


@pytest.mark.parametrize("is_gone", [True, False])
async def test_a_damaged_manifest_is_not_hidden_and_can_be_pushed_again(
    root: Path, *, is_gone: bool
) -> None:
    ground = disk_ground(root)
    before = build(ground=ground)
    await before.push(TEAM, "latest", IMAGE)
    await before.close()
    house = build(ground=ground)
    await house.hosting.names.load()
    if is_gone:
        place_of(root, digest(IMAGE)).unlink()
    else:
        rewrite(root, digest(IMAGE), IMAGE.content.replace(b"2", b"3", 1))

    for _ in range(2):
        with pytest.raises(Unknown, match="push it again"):
            await house.hosting.manifests.get(TO_TEAM, digest(IMAGE))
        with pytest.raises(Unknown, match="push it again"):
            await house.hosting.manifests.resolve(TO_TEAM, LATEST, content=True)

    await house.put(TEAM, "latest", IMAGE)
    answer = await house.hosting.manifests.resolve(TO_TEAM, LATEST, content=True)
    assert answer.content == IMAGE.content
    await house.close()
