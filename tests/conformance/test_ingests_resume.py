"""What every blob store promises to those who go on with what they began."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from mirror.oci.digest import digest_of
from mirror.ports.blobs import BlobStore, StorageError
from tests.conformance.blobs import WORLDS, World, begun, stored

CONTENT = b"content " * 1000
EVER = datetime.fromtimestamp(0).astimezone()
DAY = timedelta(days=1)


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    build: Callable[[Path], World] = request.param
    return build(tmp_path)


@pytest.fixture
def store(world: World) -> BlobStore:
    return world.start()


async def is_there(store: BlobStore, ingest_id: str, unless_before: datetime = EVER) -> bool:
    ingest = await store.resume(ingest_id, unless_before)
    if ingest is not None:
        ingest.close()
    return ingest is not None


async def test_nothing_begun_is_nothing_to_resume(store: BlobStore) -> None:
    assert not await is_there(store, "a")
    assert not await is_there(store, "a"), "nor has asking begun it"


@pytest.mark.parametrize("chunks", [(), (CONTENT,)], ids=["empty", "begun"])
async def test_what_was_begun_goes_on_after_a_restart(
    world: World, chunks: tuple[bytes, ...]
) -> None:
    (await begun(world.start(), "a", *chunks)).close()
    store = world.start()

    ingest = await store.resume("a", EVER)

    assert ingest is not None
    assert ingest.offset == sum(map(len, chunks))
    await ingest.write(b"more")
    await ingest.publish(digest_of(b"".join(chunks) + b"more"))
    ingest.close()
    assert await stored(store, digest_of(b"".join(chunks) + b"more")) is not None
    assert not await is_there(store, "a")


@pytest.mark.parametrize("chunks", [(), (CONTENT,)], ids=["empty", "begun"])
async def test_what_is_old_is_not_taken_up(
    world: World, store: BlobStore, chunks: tuple[bytes, ...]
) -> None:
    (await begun(store, "a", *chunks)).close()
    then = world.clock.now()
    world.clock.pass_by(DAY)

    assert not await is_there(store, "a", then + timedelta(seconds=1))
    assert await is_there(store, "a", then)
    assert await is_there(store, "a", then), "looking changed nothing"


async def test_writing_makes_it_young(world: World, store: BlobStore) -> None:
    ingest = await begun(store, "a", b"first")
    world.clock.pass_by(DAY)
    await ingest.write(b"second")
    ingest.close()

    assert await is_there(store, "a", world.clock.now())


async def test_resuming_takes_nothing_from_its_owner(store: BlobStore) -> None:
    ingest = await begun(store, "a", CONTENT)

    with pytest.raises(StorageError, match="open already"):
        await store.resume("a", EVER)

    await ingest.publish(digest_of(CONTENT))
    ingest.close()


async def test_no_id_is_no_path(store: BlobStore) -> None:
    for text in ("", "../a", "a" * 129):
        with pytest.raises(ValueError, match="ingest id"):
            await store.resume(text, EVER)


async def test_each_kind_is_swept_at_its_own_age(world: World, store: BlobStore) -> None:
    for ingest_id in ("fill-a", "upload-a"):
        (await begun(store, ingest_id, CONTENT)).close()
    world.clock.pass_by(DAY)

    assert await store.sweep_ingests(world.clock.now(), "upload-") == len(CONTENT)

    assert await is_there(store, "fill-a")
    assert not await is_there(store, "upload-a")


async def test_what_is_empty_ages_too(world: World, store: BlobStore) -> None:
    (await begun(store, "upload-a")).close()
    world.clock.pass_by(DAY)
    (await begun(store, "upload-b")).close()

    await store.sweep_ingests(world.clock.now(), "upload-")

    assert not await is_there(store, "upload-a")
    assert await is_there(store, "upload-b")
