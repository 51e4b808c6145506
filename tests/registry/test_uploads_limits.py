"""Uploads that are many, old or idle: few files are open, and none is kept for ever."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from mirror.oci.digest import digest_of
from mirror.oci.errors import BlobUploadUnknown, TooManyRequests
from mirror.registry.housekeeping import ABANDONED
from mirror.storage.memory import MemoryBlobStore, MemoryIngest
from tests.registry.conftest import open_files
from tests.registry.upload_bench import (
    EXPIRY,
    OURS,
    SlowBody,
    UploadBench,
    at,
    body,
    disk_bench,
    memory_bench,
)
from tests.world import SettableClock

SECOND = timedelta(seconds=1)


@pytest.fixture(params=[memory_bench, disk_bench], ids=["memory", "disk"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[UploadBench]:
    make: Callable[[Path], UploadBench] = request.param
    bench = make(tmp_path)
    bench.most_open = 3
    bench.restart()
    yield bench
    bench.uploads.close()


def files_of_uploads() -> int:
    return sum("/ingest/" in name for name in open_files())


async def is_there(bench: UploadBench, upload: str) -> bool:
    try:
        await bench.uploads.status(OURS, upload)
    except BlobUploadUnknown:
        return False
    return True


async def test_however_many_there_are_few_are_open(bench: UploadBench) -> None:
    uploads = [await bench.begun(b"%d, " % number) for number in range(20)]
    for number, upload in enumerate(uploads):
        await bench.uploads.append(OURS, upload, at(3 + number // 10, b"more"))
        assert files_of_uploads() <= 2 * bench.most_open
    for number, upload in enumerate(uploads):
        digest = digest_of(b"%d, more" % number)
        await bench.uploads.finish(OURS, upload, body(), digest)
        assert await bench.may_serve(OURS, digest)


async def test_the_least_recently_used_is_closed(tmp_path: Path) -> None:
    bench = disk_bench(tmp_path)
    bench.most_open = 2
    bench.restart()
    first, second = await bench.begun(b"1"), await bench.begun(b"2")
    await bench.offset(first)
    await bench.begun(b"3")
    is_open = {upload: any(upload in name for name in open_files()) for upload in (first, second)}
    assert is_open == {first: True, second: False}
    bench.uploads.close()


async def test_what_is_being_written_is_not_closed(bench: UploadBench) -> None:
    upload = (await bench.uploads.start(OURS)).id
    slow = SlowBody()
    finishing = bench.uploads.finish(OURS, upload, slow.body(), digest_of(b"slow"))
    writing = asyncio.create_task(finishing)
    await slow.begun.wait()
    await slow.chunks.put(b"sl")
    for number in range(2 * bench.most_open):
        await bench.begun(b"%d" % number)
    await slow.chunks.put(b"ow")
    await slow.chunks.put(None)
    await writing
    assert await bench.stored(digest_of(b"slow")) == b"slow"


async def test_an_idle_upload_expires(bench: UploadBench) -> None:
    """Whether its file is open or not, and though no sweep has come by."""
    uploads = [await bench.begun(b"x") for _ in range(2 * bench.most_open)]
    bench.clock.advance(EXPIRY)
    assert await is_there(bench, uploads[0])
    bench.clock.advance(SECOND)
    assert [await is_there(bench, each) for each in uploads[1:]] == [False] * 5


async def test_so_does_one_that_never_got_a_byte(bench: UploadBench) -> None:
    uploads = [(await bench.uploads.start(OURS)).id for _ in range(2)]
    bench.clock.advance(EXPIRY + SECOND)
    assert not await is_there(bench, uploads[0])
    bench.restart()
    assert not await is_there(bench, uploads[1])


async def test_bytes_put_it_off(bench: UploadBench) -> None:
    upload = await bench.begun(b"first, ")
    for _ in range(3):
        bench.clock.advance(EXPIRY - SECOND)
        await bench.uploads.append(OURS, upload, body(b"more, "))
        bench.restart()
    assert await bench.offset(upload) == 25


async def test_a_sweep_removes_what_has_expired(bench: UploadBench) -> None:
    """And nothing else: downloads that were left have an age of their own."""
    fill = await bench.store.ingest("fill-abc")
    await fill.write(b"some")
    fill.close()
    old = [await bench.begun(b"x" * 100) for _ in range(2 * bench.most_open)]
    bench.clock.advance(EXPIRY)
    young = await bench.begun(b"y")
    assert await bench.uploads.sweep() == 0
    bench.clock.advance(SECOND)

    assert await bench.uploads.sweep() == 100 * len(old)

    assert await is_there(bench, young)
    assert not any([await is_there(bench, each) for each in old])
    bench.clock.advance(ABANDONED)
    bench.uploads.close()
    assert await bench.store.sweep_ingests(bench.clock.now()) == 5


class SlowToResume(MemoryBlobStore):
    """As with a large upload, all of which is read again after a restart."""

    def __init__(self, clock: SettableClock) -> None:
        super().__init__(clock)
        self.resuming = asyncio.Event()
        self.resumed = asyncio.Event()

    async def resume(self, ingest_id: str, unless_before: datetime) -> MemoryIngest | None:
        self.resuming.set()
        await self.resumed.wait()
        return await super().resume(ingest_id, unless_before)


async def test_of_what_is_still_being_read_again_nobody_is_told_that_it_is_empty() -> None:
    """Whoever heard that would begin at the first byte again."""
    clock = SettableClock()
    store = SlowToResume(clock)
    bench = UploadBench(clock, lambda: store)
    upload = await bench.begun(b"so far")
    bench.restart()
    first = asyncio.create_task(bench.offset(upload))
    await store.resuming.wait()
    with pytest.raises(TooManyRequests):
        await bench.offset(upload)
    store.resumed.set()
    assert await first == await bench.offset(upload) == 6
