"""Downloading blobs, or parts of them, from a registry and its CDN, with everything that lies.

What every upstream promises is in ``tests/conformance``.
"""

import asyncio

import pytest

from mirror.ports.upstream import UpstreamError, UpstreamInvalid, UpstreamUnreachable
from mirror.upstream.settings import Timeouts
from tests.simulated_hub import Fault, FaultRoute, Redirects
from tests.simulated_hub.faults import Kind
from tests.upstream.world import (
    HOUR,
    NAME,
    QUICK,
    World,
    broken_download,
    download,
    layer_bytes,
    layer_digest,
    must_be_remote,
    push_image,
)

SIZE = 300_000
DIRECT = Redirects()
BY_CDN = Redirects(blobs=307)
both_ways = pytest.mark.parametrize("redirects", [DIRECT, BY_CDN], ids=["direct", "cdn"])


async def test_a_plain_download_asks_for_no_range(world: World) -> None:
    image = push_image(world.hub)
    await download(world.upstream(), layer_digest(image))
    (asked,) = world.hub.find("blob")
    assert "Range" not in asked.headers
    assert asked.headers["Accept-Encoding"] == "identity"


async def test_what_the_cdn_does_not_have_is_none(world: World) -> None:
    image = push_image(world.hub)
    world.hub.redirects = BY_CDN
    world.hub.faults.add(Fault(route="cdn", kind="status", status=404))
    upstream = world.upstream()
    assert await download(upstream, layer_digest(image)) is None
    assert await upstream.head_blob(NAME, layer_digest(image)) is None


async def test_the_size_of_a_blob_is_known_without_its_bytes(world: World) -> None:
    image = push_image(world.hub, SIZE)
    upstream = world.upstream()
    assert await upstream.head_blob(NAME, layer_digest(image)) == SIZE
    assert [each.method for each in world.hub.find("blob")] == ["HEAD"]


@pytest.mark.parametrize("ranges", [True, False])
async def test_a_head_is_not_followed_to_an_address_signed_for_get(
    world: World, *, ranges: bool
) -> None:
    image = push_image(world.hub, SIZE)
    world.hub.redirects, world.hub.ranges = BY_CDN, ranges
    assert await world.upstream().head_blob(NAME, layer_digest(image)) == SIZE
    (asked,) = world.hub.find("cdn")
    assert (asked.method, asked.headers["Range"]) == ("GET", "bytes=0-0")


@pytest.mark.parametrize(
    ("kind", "status"),
    [("status", 403), ("status", 405), ("no_length_header", None), ("gzip", None)],
)
async def test_a_head_that_tells_no_size_is_followed_by_a_get(
    world: World, kind: Kind, status: int | None
) -> None:
    image = push_image(world.hub, SIZE)
    world.hub.faults.add(Fault(route="blob", method="HEAD", kind=kind, status=status))
    assert await world.upstream().head_blob(NAME, layer_digest(image)) == SIZE


async def test_a_size_that_nobody_tells_is_an_error(world: World) -> None:
    image = push_image(world.hub, SIZE)
    world.hub.ranges = False
    world.hub.faults.add(Fault(route="blob", kind="no_length"))
    world.hub.faults.add(Fault(route="blob", method="HEAD", kind="no_length_header"))
    with pytest.raises(UpstreamInvalid):
        await world.upstream().head_blob(NAME, layer_digest(image))


@both_ways
@pytest.mark.parametrize("kind", ["chunked", "no_length"])
async def test_without_a_length_the_size_is_unknown_and_the_bytes_are_all_there(
    world: World, redirects: Redirects, kind: Kind
) -> None:
    image = push_image(world.hub, SIZE)
    world.hub.redirects = redirects
    world.hub.faults.add(Fault(route="cdn" if redirects.blobs else "blob", kind=kind))
    async with world.upstream().open_blob(NAME, layer_digest(image)) as opened:
        remote = must_be_remote(opened)
        assert remote.size is None
        assert b"".join([chunk async for chunk in remote.chunks()]) == layer_bytes(image)


@pytest.mark.parametrize(
    ("kind", "at"),
    [("close", 100_000), ("reset", 100_000), ("unterminated_chunks", 100_000)],
)
@both_ways
async def test_a_download_that_breaks_off_says_so_after_the_bytes_that_came(
    world: World, redirects: Redirects, kind: Kind, at: int
) -> None:
    image = push_image(world.hub, SIZE)
    world.hub.redirects = redirects
    route: FaultRoute = "cdn" if redirects.blobs else "blob"
    upstream = world.upstream()
    world.hub.faults.add(Fault(route=route, kind=kind, at=at, times=1))
    broken = await broken_download(upstream, layer_digest(image))
    assert isinstance(broken.error, UpstreamUnreachable)
    assert layer_bytes(image).startswith(broken.received)
    rest = await download(upstream, layer_digest(image), len(broken.received))
    assert broken.received + (rest or b"") == layer_bytes(image)
    assert upstream.status().errors == 1


async def test_a_promise_of_more_than_there_is_is_noticed_at_the_end(world: World) -> None:
    image = push_image(world.hub, SIZE)
    world.hub.faults.add(Fault(route="blob", kind="long_length"))
    broken = await broken_download(world.upstream(), layer_digest(image))
    assert isinstance(broken.error, UpstreamUnreachable)
    assert broken.received == layer_bytes(image)


@pytest.mark.parametrize("at", [0, 100_000, SIZE])
async def test_chunks_that_are_none_end_the_download_soon(world: World, at: int) -> None:
    image = push_image(world.hub, SIZE)
    world.hub.faults.add(Fault(route="blob", kind="bad_chunk", at=at))
    upstream = world.upstream(timeouts=Timeouts(progress=HOUR))
    async with asyncio.timeout(30):
        with pytest.raises(UpstreamError):
            await download(upstream, layer_digest(image))


async def test_bytes_are_handed_on_as_they_come(world: World) -> None:
    image = push_image(world.hub, SIZE)
    world.hub.faults.add(Fault(route="blob", kind="stall", at=10))
    async with world.upstream().open_blob(NAME, layer_digest(image)) as opened:
        chunks = must_be_remote(opened).chunks()
        assert await anext(chunks) == layer_bytes(image)[:10]


@pytest.mark.parametrize("kind", ["flip", "truncate", "pad", "other_blob", "gzip"])
async def test_whether_the_bytes_are_right_is_for_the_digest_to_say(
    world: World, kind: Kind
) -> None:
    """A body is passed on as it is, packed or not: hashing it is not done here."""
    image = push_image(world.hub, SIZE)
    world.hub.faults.add(Fault(route="blob", kind=kind))
    received = await download(world.upstream(), layer_digest(image))
    assert received is not None
    assert received != layer_bytes(image)


@pytest.mark.parametrize(
    ("kind", "start"),
    [
        ("partial_uninvited", 0),
        ("wrong_content_range", 1000),
        ("duplicate_length", 0),
        ("length_and_chunked", 0),
        ("garbage", 0),
    ],
)
@both_ways
async def test_an_answer_that_cannot_be_right_is_refused_before_its_bytes(
    world: World, redirects: Redirects, kind: Kind, start: int
) -> None:
    image = push_image(world.hub, SIZE)
    world.hub.redirects = redirects
    world.hub.faults.add(Fault(route="cdn" if redirects.blobs else "blob", kind=kind))
    with pytest.raises(UpstreamInvalid):
        await download(world.upstream(), layer_digest(image), start)


async def test_nothing_is_beyond_the_end(world: World) -> None:
    image = push_image(world.hub, SIZE)
    upstream = world.upstream()
    for ranges in (True, False):
        world.hub.ranges = ranges
        with pytest.raises(UpstreamInvalid):
            await download(upstream, layer_digest(image), SIZE)


async def test_a_short_length_is_believed_and_the_rest_not_taken_for_another_answer(
    world: World,
) -> None:
    image = push_image(world.hub, SIZE)
    world.hub.faults.add(Fault(route="blob", kind="short_length", at=1000, times=1))
    upstream = world.upstream()
    try:
        received = await download(upstream, layer_digest(image))
    except UpstreamError:
        received = layer_bytes(image)[:1000]
    assert received == layer_bytes(image)[:1000]
    assert await download(upstream, layer_digest(image)) == layer_bytes(image)


@both_ways
async def test_a_body_that_stops_coming_is_given_up(world: World, redirects: Redirects) -> None:
    image = push_image(world.hub, SIZE)
    world.hub.redirects = redirects
    route: FaultRoute = "cdn" if redirects.blobs else "blob"
    world.hub.faults.add(Fault(route=route, kind="stall", at=50_000))
    broken = await broken_download(world.upstream(timeouts=QUICK), layer_digest(image))
    assert isinstance(broken.error, UpstreamUnreachable)
    assert layer_bytes(image)[:50_000].startswith(broken.received)


async def test_a_body_that_drips_is_given_up(world: World) -> None:
    image = push_image(world.hub, SIZE)
    world.hub.faults.add(Fault(route="blob", kind="drip", at=50_000, seconds=0.01))
    broken = await broken_download(world.upstream(timeouts=QUICK), layer_digest(image))
    assert isinstance(broken.error, UpstreamUnreachable)
    assert layer_bytes(image).startswith(broken.received)


async def test_a_reader_that_takes_its_time_is_not_a_slow_upstream(world: World) -> None:
    image = push_image(world.hub, SIZE)
    world.hub.faults.add(Fault(route="blob", kind="stall", at=1000))
    async with world.upstream(timeouts=QUICK).open_blob(NAME, layer_digest(image)) as opened:
        chunks = must_be_remote(opened).chunks()
        first = await anext(chunks)
        await world.hub.wait_for(lambda: world.hub.stalled == 1)
        # Longer than a stalled upstream would be waited for; the rest is still to come.
        await asyncio.sleep(QUICK.progress * 1.5)
        rest = asyncio.ensure_future(anext(chunks))
        await asyncio.sleep(0)
        world.hub.release()
        received = first + await rest + b"".join([chunk async for chunk in chunks])
    assert received == layer_bytes(image)


@pytest.mark.parametrize("kind", ["stall", "slow_headers"])
async def test_headers_that_do_not_come_are_given_up(world: World, kind: Kind) -> None:
    image = push_image(world.hub)
    world.hub.faults.add(Fault(route="blob", kind=kind))
    upstream = world.upstream(timeouts=Timeouts(connect=HOUR, headers=0.1, progress=HOUR))
    async with asyncio.timeout(30):
        with pytest.raises(UpstreamUnreachable, match="in time"):
            await download(upstream, layer_digest(image))


async def test_leaving_a_download_ends_it(world: World) -> None:
    image = push_image(world.hub, 20_000_000)
    async with world.upstream().open_blob(NAME, layer_digest(image)) as opened:
        async for _ in must_be_remote(opened).chunks():
            break
    await world.hub.wait_for(lambda: world.hub.open_requests == 0)
    assert world.hub.find("blob")[0].sent < 20_000_000


async def test_closing_breaks_what_is_open(world: World) -> None:
    image = push_image(world.hub, SIZE)
    world.hub.faults.add(Fault(route="blob", kind="stall", at=1000))
    upstream = world.upstream()
    async with upstream.open_blob(NAME, layer_digest(image)) as opened:
        chunks = must_be_remote(opened).chunks()
        assert len(await anext(chunks)) == 1000
        await upstream.close()
        with pytest.raises(UpstreamUnreachable):
            await anext(chunks)


async def test_closing_ends_the_wait_for_more(world: World) -> None:
    image = push_image(world.hub, SIZE)
    world.hub.faults.add(Fault(route="blob", kind="stall", at=1000))
    upstream = world.upstream()
    async with upstream.open_blob(NAME, layer_digest(image)) as opened:
        chunks = must_be_remote(opened).chunks()
        assert len(await anext(chunks)) == 1000
        waiting = asyncio.ensure_future(anext(chunks))
        await asyncio.sleep(0)
        await upstream.close()
        with pytest.raises(UpstreamUnreachable):
            await waiting


async def test_many_downloads_at_once_do_not_wait_for_each_other(world: World) -> None:
    image = push_image(world.hub, SIZE)
    world.hub.faults.add(Fault(route="blob", kind="stall", at=1000))
    upstream = world.upstream()
    downloads = [asyncio.create_task(download(upstream, layer_digest(image))) for _ in range(120)]
    await world.hub.wait_for(lambda: world.hub.stalled == 120)
    assert await upstream.head_blob(NAME, layer_digest(image)) == SIZE
    world.hub.release()
    assert set(await asyncio.gather(*downloads)) == {layer_bytes(image)}


async def test_connections_are_used_again(world: World) -> None:
    image = push_image(world.hub)
    world.hub.redirects = BY_CDN
    upstream = world.upstream()
    for _ in range(10):
        await download(upstream, layer_digest(image))
    assert world.hub.connections == 3
