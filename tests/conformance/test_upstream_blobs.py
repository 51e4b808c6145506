"""What every upstream promises about blobs, and about parts of them."""

import asyncio

import pytest

from mirror.oci.digest import Digest, digest_of
from mirror.ports.upstream import UpstreamInvalid, UpstreamUnreachable
from tests.conformance.upstreams import NAME, NOWHERE, REDIS, World, unless_denied
from tests.simulated_hub import blob
from tests.upstream.world import broken_download, download, must_be_remote

SIZE = 300_000
LAYER = blob("layer", SIZE)
DIGEST = digest_of(LAYER)
EMPTY = digest_of(b"")
ABSENT = digest_of(b"absent")
HALF = SIZE // 2


@pytest.fixture
def stocked(remote_world: World) -> World:
    """A registry that has the layer."""
    remote_world.push_blob(NAME, DIGEST, LAYER)
    return remote_world


@pytest.mark.parametrize(
    ("start", "stop"),
    [
        (0, None),
        (0, SIZE),
        (0, 1),
        (0, 1000),
        (1000, None),
        (1000, 2000),
        (HALF, SIZE),
        (HALF, 2 * SIZE),
        (SIZE - 1, None),
        (SIZE - 1, SIZE),
    ],
)
async def test_the_bytes_that_were_asked_for(stocked: World, start: int, stop: int | None) -> None:
    async with stocked.upstream.open_blob(NAME, DIGEST, start, stop) as opened:
        remote = must_be_remote(opened)
        assert (remote.size, remote.start) == (SIZE, start)
        received = b"".join([chunk async for chunk in remote.chunks()])
    assert received == LAYER[start:stop]


@pytest.mark.parametrize("start", [SIZE, SIZE + 1])
async def test_bytes_behind_the_last_one_cannot_be_asked_for(stocked: World, start: int) -> None:
    with pytest.raises(UpstreamInvalid):
        await download(stocked.upstream, DIGEST, start)


async def test_the_size_is_told_without_the_bytes(stocked: World) -> None:
    assert await stocked.upstream.head_blob(NAME, DIGEST) == SIZE


async def test_an_empty_blob_is_there_and_has_no_bytes(stocked: World) -> None:
    stocked.push_blob(NAME, EMPTY, b"")
    assert await stocked.upstream.head_blob(NAME, EMPTY) == 0
    async with stocked.upstream.open_blob(NAME, EMPTY) as opened:
        remote = must_be_remote(opened)
        assert remote.size == 0
        assert b"".join([chunk async for chunk in remote.chunks()]) == b""


async def test_what_is_not_there_is_none(stocked: World) -> None:
    assert await stocked.upstream.head_blob(NAME, ABSENT) is None
    assert await download(stocked.upstream, ABSENT) is None
    assert await download(stocked.upstream, ABSENT, 1000, 2000) is None


async def test_what_another_repository_has_is_none(stocked: World) -> None:
    stocked.push_blob(REDIS, EMPTY, b"")
    assert await stocked.upstream.head_blob(REDIS, DIGEST) is None
    async with stocked.upstream.open_blob(REDIS, DIGEST) as remote:
        assert remote is None


async def test_a_repository_that_is_not_there_has_nothing(stocked: World) -> None:
    assert await unless_denied(stocked.upstream.head_blob(NOWHERE, DIGEST)) is None


@pytest.mark.parametrize("start", [0, HALF])
async def test_without_a_length_the_size_is_unknown_and_the_bytes_are_all_there(
    stocked: World, start: int
) -> None:
    stocked.measure_nothing()
    async with stocked.upstream.open_blob(NAME, DIGEST, start) as opened:
        remote = must_be_remote(opened)
        assert remote.start == start
        assert remote.size in (None, SIZE) if start else remote.size is None
        assert b"".join([chunk async for chunk in remote.chunks()]) == LAYER[start:]


@pytest.mark.parametrize("at", [1, HALF, SIZE - 1])
async def test_a_download_that_breaks_off_says_so_and_can_go_on(stocked: World, at: int) -> None:
    stocked.cut(DIGEST, at)
    broken = await broken_download(stocked.upstream, DIGEST)
    assert isinstance(broken.error, UpstreamUnreachable)
    assert LAYER.startswith(broken.received)
    rest = await download(stocked.upstream, DIGEST, len(broken.received))
    assert rest is not None
    assert broken.received + rest == LAYER


@pytest.mark.parametrize("wrong", [LAYER[:-1] + b"x", LAYER[:-1], LAYER + b"x", b""])
async def test_whether_the_bytes_are_right_is_for_the_digest_to_say(
    remote_world: World, wrong: bytes
) -> None:
    remote_world.push_blob(NAME, DIGEST, wrong)
    assert await download(remote_world.upstream, DIGEST) == wrong


async def test_many_downloads_at_once_do_not_mix(stocked: World) -> None:
    starts = range(0, SIZE, SIZE // 20)
    parts = await asyncio.gather(*[download(stocked.upstream, DIGEST, at) for at in starts])
    assert parts == [LAYER[at:] for at in starts]


async def test_a_download_that_is_left_is_let_go(stocked: World) -> None:
    async with stocked.upstream.open_blob(NAME, DIGEST) as opened:
        async for chunk in must_be_remote(opened).chunks():
            assert LAYER.startswith(chunk)
            break
    await stocked.let_go()
    assert await download(stocked.upstream, DIGEST) == LAYER


async def test_what_goes_wrong_with_a_reader_is_its_own_affair(stocked: World) -> None:
    with pytest.raises(ZeroDivisionError):
        await fail_to_read(stocked, DIGEST)
    await stocked.let_go()
    assert await download(stocked.upstream, DIGEST) == LAYER


async def fail_to_read(world: World, digest: Digest) -> None:
    async with world.upstream.open_blob(NAME, digest) as opened:
        async for _ in must_be_remote(opened).chunks():
            raise ZeroDivisionError
