"""Uploads from the first byte to the blob, over each kind of store."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mirror.oci.byte_range import ByteRange
from mirror.oci.digest import Digest, digest_of
from mirror.oci.errors import BlobUploadUnknown, DigestInvalid, SizeInvalid, TooManyRequests
from mirror.ports.repository import Repository
from mirror.registry.uploads import OutOfOrder
from tests.registry.upload_bench import (
    OURS,
    PROXIED,
    THEIRS,
    ClientLeft,
    SlowBody,
    UploadBench,
    at,
    body,
    broken,
    disk_bench,
    memory_bench,
)

CONTENT = bytes(range(256)) * 40
HALF = len(CONTENT) // 2
FIRST, SECOND = CONTENT[:HALF], CONTENT[HALF:]
DIGEST = digest_of(CONTENT)
SHA512 = digest_of(CONTENT, "sha512")
OTHER = digest_of(b"something else")
EMPTY = digest_of(b"")


@pytest.fixture(params=[memory_bench, disk_bench], ids=["memory", "disk"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[UploadBench]:
    make: Callable[[Path], UploadBench] = request.param
    bench = make(tmp_path)
    yield bench
    bench.uploads.close()


async def is_pushed(bench: UploadBench, digest: Digest, content: bytes = CONTENT) -> bool:
    """To this repository, and no more than that."""
    assert not await bench.may_serve(THEIRS, digest)
    assert await bench.unfinished() == 0
    return await bench.stored(digest) == content and await bench.may_serve(OURS, digest)


@pytest.mark.parametrize("digest", [DIGEST, SHA512], ids=["sha256", "sha512"])
@pytest.mark.parametrize(
    "parts",
    [
        [CONTENT, b""],
        [FIRST, SECOND, b""],
        [FIRST, SECOND],
        [b"", CONTENT],
        [CONTENT[:1], b"", b""],
    ],
    ids=["empty", "empty after two", "last chunk", "whole", "one byte"],
)
async def test_what_was_sent_becomes_a_blob(
    bench: UploadBench, digest: Digest, parts: list[bytes]
) -> None:
    content = b"".join(parts)
    digest = digest_of(content, digest.algorithm)
    upload = await bench.uploads.start(OURS)
    assert upload.offset == 0
    for part in parts[:-1]:
        await bench.uploads.append(OURS, upload.id, body(part))
    await bench.uploads.finish(OURS, upload.id, body(parts[-1]), digest)
    assert await is_pushed(bench, digest, content)


@pytest.mark.parametrize("digest", [DIGEST, SHA512], ids=["sha256", "sha512"])
async def test_a_blob_in_one_go(bench: UploadBench, digest: Digest) -> None:
    await bench.uploads.push(OURS, body(FIRST, SECOND, length=len(CONTENT)), digest)
    assert await is_pushed(bench, digest)


async def test_the_blob_of_no_bytes(bench: UploadBench) -> None:
    await bench.uploads.push(OURS, body(length=0), EMPTY)
    assert await is_pushed(bench, EMPTY, b"")


async def test_the_status_tells_how_much_has_come(bench: UploadBench) -> None:
    upload = await bench.uploads.start(OURS)
    assert await bench.offset(upload.id) == 0
    assert (await bench.uploads.append(OURS, upload.id, body(FIRST))).offset == HALF
    assert await bench.offset(upload.id) == HALF


async def test_it_goes_on_after_a_restart(bench: UploadBench) -> None:
    fresh = (await bench.uploads.start(OURS)).id
    begun = await bench.begun(FIRST)
    bench.restart()
    assert (await bench.offset(fresh), await bench.offset(begun)) == (0, HALF)
    bench.restart()
    await bench.uploads.finish(OURS, begun, at(HALF, SECOND), DIGEST)
    assert await is_pushed(bench, DIGEST)


@pytest.mark.parametrize("start", [0, 1, HALF - 1, HALF + 1, 1 << 60])
async def test_a_chunk_out_of_order_changes_nothing(bench: UploadBench, start: int) -> None:
    upload = await bench.begun(FIRST)
    for attempt in (
        bench.uploads.append(OURS, upload, at(start, SECOND)),
        bench.uploads.finish(OURS, upload, at(start, SECOND), DIGEST),
    ):
        with pytest.raises(OutOfOrder) as refused:
            await attempt
        assert (refused.value.upload.id, refused.value.upload.offset) == (upload, HALF)
    await bench.uploads.append(OURS, upload, at(HALF, SECOND))
    await bench.uploads.finish(OURS, upload, body(), DIGEST)
    assert await is_pushed(bench, DIGEST)


async def test_a_length_that_is_not_that_of_the_range(bench: UploadBench) -> None:
    upload = await bench.begun(FIRST)
    wrong = body(SECOND, length=len(SECOND), place=ByteRange(HALF, len(CONTENT) + 1))
    with pytest.raises(SizeInvalid):
        await bench.uploads.append(OURS, upload, wrong)
    assert await bench.offset(upload) == HALF


@pytest.mark.parametrize("sent", [SECOND + b"more", SECOND[:-1], b""])
async def test_more_or_less_than_the_range_when_no_length_was_told(
    bench: UploadBench, sent: bytes
) -> None:
    """Of what was announced as much as came stays, and nothing else."""
    upload = await bench.begun(FIRST)
    with pytest.raises(SizeInvalid):
        await bench.uploads.append(OURS, upload, body(sent, place=ByteRange(HALF, len(CONTENT))))
    offset = await bench.offset(upload)
    assert offset == HALF + min(len(sent), HALF)
    await bench.uploads.finish(OURS, upload, at(offset, CONTENT[offset:]), DIGEST)
    assert await is_pushed(bench, DIGEST)


@pytest.mark.parametrize("digest", [OTHER, digest_of(b"", "sha512")])
async def test_bytes_that_are_not_what_the_digest_says_are_not_kept(
    bench: UploadBench, digest: Digest
) -> None:
    upload = await bench.begun(FIRST)
    with pytest.raises(DigestInvalid, match=f"not {digest}"):
        await bench.uploads.finish(OURS, upload, body(SECOND), digest)
    with pytest.raises(BlobUploadUnknown):
        await bench.uploads.status(OURS, upload)
    with pytest.raises(DigestInvalid):
        await bench.uploads.push(OURS, body(CONTENT), digest)
    assert await bench.unfinished() == 0
    assert await bench.stored(digest) is await bench.stored(DIGEST) is None


async def end_by_finishing(bench: UploadBench, upload: str) -> None:
    await bench.uploads.finish(OURS, upload, body(SECOND), DIGEST)


async def end_by_cancelling(bench: UploadBench, upload: str) -> None:
    await bench.uploads.cancel(OURS, upload)


@pytest.mark.parametrize("end", [end_by_finishing, end_by_cancelling])
async def test_after_the_end_there_is_no_such_upload(
    bench: UploadBench, end: Callable[[UploadBench, str], asyncio.Future[None]]
) -> None:
    upload = await bench.begun(FIRST)
    await end(bench, upload)
    await nothing_is_there(bench, OURS, upload)
    assert await bench.unfinished() == 0


async def test_an_upload_belongs_to_its_repository(bench: UploadBench) -> None:
    upload = await bench.begun(FIRST)
    for repository in (THEIRS, PROXIED):
        await nothing_is_there(bench, repository, upload)
    assert await bench.offset(upload) == HALF


async def nothing_is_there(bench: UploadBench, repository: Repository, upload: str) -> None:
    uploads = bench.uploads
    for attempt in (
        uploads.status(repository, upload),
        uploads.append(repository, upload, body(SECOND)),
        uploads.finish(repository, upload, body(SECOND), DIGEST),
        uploads.cancel(repository, upload),
    ):
        with pytest.raises(BlobUploadUnknown):
            await attempt


async def test_what_came_before_the_client_left_stays(bench: UploadBench) -> None:
    upload = await bench.begun(FIRST[:100])
    for each in (broken(FIRST[100:200]), broken(FIRST[200:], length=5000)):
        with pytest.raises(ClientLeft):
            await bench.uploads.append(OURS, upload, each)
    with pytest.raises(ClientLeft):
        await bench.uploads.finish(OURS, upload, broken(SECOND[:7]), DIGEST)
    assert await bench.offset(upload) == HALF + 7
    bench.restart()
    await bench.uploads.finish(OURS, upload, at(HALF + 7, SECOND[7:]), DIGEST)
    assert await is_pushed(bench, DIGEST)


async def test_of_a_blob_in_one_go_that_broke_off_nothing_stays(bench: UploadBench) -> None:
    with pytest.raises(ClientLeft):
        await bench.uploads.push(OURS, broken(FIRST), DIGEST)
    assert await bench.unfinished() == 0


async def test_two_that_write_at_once_take_turns(bench: UploadBench) -> None:
    upload = (await bench.uploads.start(OURS)).id
    slow = SlowBody()
    first = asyncio.create_task(bench.uploads.append(OURS, upload, slow.body()))
    await slow.begun.wait()
    second = asyncio.create_task(bench.uploads.append(OURS, upload, body(SECOND)))
    third = asyncio.create_task(bench.uploads.append(OURS, upload, at(0, SECOND)))
    for chunk in (FIRST[:10], FIRST[10:], None):
        await slow.chunks.put(chunk)
    assert (await first).offset == HALF
    assert (await second).offset == len(CONTENT)
    with pytest.raises(OutOfOrder):
        await third
    await bench.uploads.finish(OURS, upload, body(), DIGEST)
    assert await is_pushed(bench, DIGEST)


async def test_the_status_does_not_wait_for_who_is_writing(bench: UploadBench) -> None:
    upload = await bench.begun(FIRST)
    slow = SlowBody()
    writing = asyncio.create_task(bench.uploads.append(OURS, upload, slow.body()))
    await slow.begun.wait()
    assert await bench.offset(upload) == HALF
    await slow.chunks.put(None)
    await writing


async def test_nobody_waits_for_ever_for_a_turn(bench: UploadBench) -> None:
    bench.turn = bench.glimpse
    bench.restart()
    upload = await bench.begun(FIRST)
    slow = SlowBody()
    first = asyncio.create_task(bench.uploads.append(OURS, upload, slow.body()))
    await slow.begun.wait()
    with pytest.raises(TooManyRequests):
        await bench.uploads.append(OURS, upload, body(b"x"))
    with pytest.raises(TooManyRequests):
        await bench.uploads.cancel(OURS, upload)
    await slow.chunks.put(SECOND)
    await slow.chunks.put(None)
    await first
    await bench.uploads.finish(OURS, upload, body(), DIGEST)


async def test_who_waited_for_the_end_finds_none(bench: UploadBench) -> None:
    upload = await bench.begun(FIRST)
    slow = SlowBody()
    ending = asyncio.create_task(bench.uploads.finish(OURS, upload, slow.body(), DIGEST))
    await slow.begun.wait()
    waiting = [
        asyncio.create_task(bench.uploads.finish(OURS, upload, body(SECOND), DIGEST)),
        asyncio.create_task(bench.uploads.cancel(OURS, upload)),
    ]
    await slow.chunks.put(SECOND)
    await slow.chunks.put(None)
    await ending
    for each in waiting:
        with pytest.raises(BlobUploadUnknown):
            await each
    assert await is_pushed(bench, DIGEST)
