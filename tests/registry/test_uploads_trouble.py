"""Uploads where there is no room, where disks and databases fail, and where the blob is here."""

import asyncio
from pathlib import Path

import pytest

from mirror.oci.digest import digest_of
from mirror.oci.errors import BlobUploadUnknown, Unavailable
from mirror.ports.metadata import BlobRecord, MetadataError
from mirror.ports.repository import Repository
from mirror.registry.room import Limits
from mirror.registry.uploads import Body
from mirror.storage.memory import MemoryBlobStore
from tests.registry.quota_store import QuotaStore
from tests.registry.shelf import NGINX
from tests.registry.shelf import digest as shelf_digest
from tests.registry.troubled_stores import TroubledStore
from tests.registry.upload_bench import (
    OURS,
    PROXIED,
    THEIRS,
    SlowBody,
    UploadBench,
    at,
    body,
    disk_bench,
    memory_bench,
)
from tests.world import SettableClock

CONTENT = b"content " * 100
DIGEST = digest_of(CONTENT)
SPARING = Limits(max_size=500, low_size=400, min_free=1000)


def sparing_bench(free: int) -> tuple[UploadBench, TroubledStore]:
    """So much room on the disk, of which 1000 bytes must stay."""
    clock = SettableClock()
    store = TroubledStore(clock, free)
    return UploadBench(clock, lambda: store, SPARING), store


async def test_without_room_for_it_no_body_is_asked_for() -> None:
    bench, store = sparing_bench(1700)
    upload = await bench.begun()
    slow = SlowBody()
    with pytest.raises(Unavailable, match=r"cache\.min_free") as refused:
        await bench.uploads.append(OURS, upload, Body(slow.body().chunks, 800))
    assert not slow.begun.is_set()
    assert refused.value.retry_after is not None
    store.free = 1800
    bench.clock.advance(bench.turn)  # until eviction is thought of again
    await bench.uploads.finish(OURS, upload, body(CONTENT, length=800), DIGEST)
    assert await bench.stored(DIGEST) == CONTENT


async def test_room_is_asked_for_while_it_grows_where_no_length_was_told() -> None:
    bench, store = sparing_bench(1700)
    upload = await bench.begun(CONTENT[:600])
    with pytest.raises(Unavailable, match=r"cache\.min_free"):
        await bench.uploads.append(OURS, upload, body(CONTENT[600:]))
    assert await bench.offset(upload) == 600
    store.free = 1300
    bench.clock.advance(bench.turn)
    await bench.uploads.finish(OURS, upload, at(600, CONTENT[600:]), DIGEST)
    assert await bench.stored(DIGEST) == CONTENT


async def test_proxied_content_makes_room_and_its_limit_is_not_that_of_pushes() -> None:
    """More than ``max_size`` is pushed; what was pulled goes for it, and not what was pushed."""
    bench, _ = sparing_bench(2200)
    for name in "abcde":
        await bench.shelf.put_blob(NGINX, name, 100)
    await bench.uploads.push(OURS, body(CONTENT, length=800), DIGEST)
    assert await bench.shelf.holds(shelf_digest("a", 100))

    other = CONTENT[::-1]
    await bench.uploads.push(OURS, body(other, length=800), digest_of(other))

    assert [await bench.shelf.holds(shelf_digest(name, 100)) for name in "abcde"].count(False) > 0
    assert await bench.stored(DIGEST) == CONTENT


async def test_a_disk_that_fills_up_in_the_middle_loses_nothing() -> None:
    clock = SettableClock()
    store = QuotaStore(clock, 1000)
    ballast = bytes(500)
    await store.put(digest_of(ballast), ballast)
    bench = UploadBench(clock, lambda: store)
    upload = await bench.begun(CONTENT[:400])
    with pytest.raises(Unavailable, match="no room"):
        await bench.uploads.append(OURS, upload, at(400, CONTENT[400:]))
    assert await bench.offset(upload) == 400
    await store.delete(digest_of(ballast))
    await bench.uploads.finish(OURS, upload, at(400, CONTENT[400:]), DIGEST)
    assert await bench.stored(DIGEST) == CONTENT


async def test_what_could_not_be_recorded_need_not_be_sent_again(tmp_path: Path) -> None:
    for bench in (memory_bench(tmp_path), disk_bench(tmp_path)):
        upload = await bench.begun(CONTENT)
        bench.facts.failing.add("put_blob")
        for _ in range(2):
            with pytest.raises(MetadataError):
                await bench.uploads.finish(OURS, upload, body(), DIGEST)
            assert not await bench.may_serve(OURS, DIGEST)
        bench.facts.failing.clear()
        await bench.uploads.finish(OURS, upload, body(), DIGEST)
        assert await bench.may_serve(OURS, DIGEST)
        with pytest.raises(BlobUploadUnknown):
            await bench.uploads.status(OURS, upload)
        bench.uploads.close()


async def test_a_disk_that_loses_the_bytes_ends_the_upload(tmp_path: Path) -> None:
    """It is said so, and not that something is wrong with what was sent."""

    def fail(name: str) -> None:
        if name == "publish.verified":
            raise OSError(5, "as a disk says it")

    bench = disk_bench(tmp_path, fail)
    upload = await bench.begun(CONTENT)
    with pytest.raises(Unavailable, match="could not be stored"):
        await bench.uploads.finish(OURS, upload, body(), DIGEST)
    (tmp_path / "data" / "ingest").rename(tmp_path / "gone")
    (tmp_path / "data" / "ingest").mkdir()
    with pytest.raises(BlobUploadUnknown):
        await bench.uploads.finish(OURS, upload, body(), DIGEST)
    bench.uploads.close()


class Steps:
    """The checkpoints a store passed."""

    def __init__(self) -> None:
        self.passed: list[str] = []

    def __call__(self, name: str) -> None:
        self.passed.append(name)


@pytest.mark.parametrize("owner", [THEIRS, PROXIED], ids=["pushed", "pulled"])
async def test_what_is_here_already_is_linked_and_not_stored_again(
    tmp_path: Path, owner: Repository
) -> None:
    steps = Steps()
    bench = disk_bench(tmp_path, steps)
    await bench.store.put(DIGEST, CONTENT)
    await bench.facts.put_blob(owner, BlobRecord(DIGEST, len(CONTENT)), bench.clock.now())
    (file,) = (tmp_path / "data" / "blobs").rglob(DIGEST.encoded)
    before = file.stat()
    upload = await bench.begun(CONTENT)
    steps.passed.clear()

    await bench.uploads.finish(OURS, upload, body(), DIGEST)

    assert await bench.may_serve(OURS, DIGEST)
    assert steps.passed == []
    assert file.stat() == before
    assert await bench.unfinished() == 0
    assert list((tmp_path / "data" / "ingest").iterdir()) == []


async def test_knowing_the_digest_of_what_is_here_gives_nobody_a_link(tmp_path: Path) -> None:
    bench = disk_bench(tmp_path)
    await bench.uploads.push(THEIRS, body(CONTENT), DIGEST)
    for content in (b"", b"wrong", CONTENT[:-1]):
        with pytest.raises(Exception, match="not sha256"):
            await bench.uploads.push(OURS, body(content), DIGEST)
    assert not await bench.may_serve(OURS, DIGEST)


async def test_a_row_whose_file_is_gone_is_mended(tmp_path: Path) -> None:
    bench = disk_bench(tmp_path)
    await bench.uploads.push(THEIRS, body(CONTENT), DIGEST)
    await bench.store.delete(DIGEST)
    await bench.uploads.push(OURS, body(CONTENT), DIGEST)
    assert await bench.stored(DIGEST) == CONTENT


async def test_two_pushes_of_one_blob_at_once(tmp_path: Path) -> None:
    bench = disk_bench(tmp_path)
    await asyncio.gather(
        *(
            bench.uploads.push(repository, body(CONTENT), DIGEST)
            for repository in (OURS, THEIRS, OURS, THEIRS)
        )
    )
    assert await bench.may_serve(OURS, DIGEST)
    assert await bench.may_serve(THEIRS, DIGEST)
    assert await bench.stored(DIGEST) == CONTENT
    assert await bench.unfinished() == 0


async def test_while_a_blob_leaves_nobody_stores_it() -> None:
    clock = SettableClock()
    store = MemoryBlobStore(clock)
    bench = UploadBench(clock, lambda: store)
    with bench.custody.leaving([DIGEST]) as free:
        assert free == [DIGEST]
        pushing = asyncio.create_task(bench.uploads.push(OURS, body(CONTENT), DIGEST))
        for _ in range(20):
            await asyncio.sleep(0)
        assert await bench.stored(DIGEST) is None
        assert not pushing.done()
    await pushing
    assert await bench.may_serve(OURS, DIGEST)
