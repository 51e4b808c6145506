"""Parts of blobs: what every resuming client relies on, whatever state the blob is in."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.site import BLOB, LAYER, LAYER_DIGEST, NAME, TAGGED, Site, blob_path
from tests.api.wire import Answer, Line, connected, request
from tests.simulated_hub import Fault, blob

SHARED = pytest.mark.asyncio(loop_scope="module")
CONTENT = blob("two thousand", 2048)
LARGE = blob("large", 10_000_000)
SIZES = (0, 1, 2, 10, 1000, 70_000)

# What a range means for a blob of 2048 bytes: the offsets it is answered with, 416, or the whole.
TABLE: list[tuple[str, tuple[int, int] | int]] = [
    ("bytes=500-1499", (500, 1500)),
    ("bytes=0-0", (0, 1)),
    ("bytes=0-", (0, 2048)),
    ("bytes=2047-", (2047, 2048)),
    ("bytes=500-", (500, 2048)),
    ("bytes=-500", (1548, 2048)),
    ("bytes=-2048", (0, 2048)),
    ("bytes=-9999", (0, 2048)),
    ("bytes=2000-5000", (2000, 2048)),
    ("bytes=0-99999999999999999999999999", (0, 2048)),
    ("bytes= 500-1499", (500, 1500)),
    ("bytes=2048-", 416),
    ("bytes=5000-10000", 416),
    ("bytes=99999999999999999999999999-", 416),
    ("bytes=500-0", 416),
    ("bytes=-0", 416),
    ("bytes=0-1,5-6", 200),
    ("bytes=0-1, 5-6", 200),
    ("bytes=0-0,-1", 200),
    ("bytes=" + ",".join(f"{start}-{start}" for start in range(700)), 200),
    ("bytes=", 200),
    ("bytes=-", 200),
    ("bytes=a-b", 200),
    ("bytes=1.5-2", 200),
    ("bytes=+1-2", 200),
    ("bytes=0x1-0x2", 200),
    ("bytes 0-1", 200),
    ("items=0-1", 200),
    ("seconds=1-2", 200),
    ("500-1499", 200),
    ("", 200),
]


@pytest.fixture
async def two_thousand(held: Site) -> str:
    """The path of a blob of 2048 bytes that is held."""
    held.hub.push_blob(NAME, CONTENT)
    return blob_path(CONTENT)


def check(answer: Answer, content: bytes, expected: tuple[int, int] | int) -> None:
    if isinstance(expected, tuple):
        start, stop = expected
        assert answer.status == 206
        assert answer["Content-Range"] == f"bytes {start}-{stop - 1}/{len(content)}"
        assert answer.body == content[start:stop]
    elif expected == 416:
        assert (answer.status, answer.code) == (416, "RANGE_INVALID")
        assert answer["Content-Range"] == f"bytes */{len(content)}"
    else:
        assert answer.status == 200
        assert answer.get("Content-Range") is None
        assert answer.body == content


@pytest.mark.parametrize(("wanted", "expected"), TABLE)
@SHARED
async def test_of_a_blob_that_is_held(
    held: Site, two_thousand: str, wanted: str, expected: tuple[int, int] | int
) -> None:
    check(await held.ask(two_thousand, f"Range: {wanted}"), CONTENT, expected)


@pytest.mark.parametrize(
    ("wanted", "expected"), [row for row in TABLE if len(row[0]) < 100], ids=str
)
@SHARED
async def test_of_a_blob_that_nobody_has_asked_for(
    held: Site, wanted: str, expected: tuple[int, int] | int
) -> None:
    """The first request for it is for a part, and what it starts is a download of the whole."""
    content = blob(f"cold {wanted}", 2048)
    held.hub.push_blob(NAME, content)
    check(await held.ask(blob_path(content), f"Range: {wanted}"), content, expected)


@SHARED
async def test_the_rest_of_a_range_is_not_downloaded_again(held: Site) -> None:
    content = blob("once", 50_000)
    digest = held.hub.push_blob(NAME, content)
    for start in range(0, 50_000, 10_000):
        answer = await held.ask(blob_path(content), f"Range: bytes={start}-{start + 9999}")
        check(answer, content, (start, start + 10_000))
    assert held.hub.count("blob", "GET", digest=digest) == 1


@pytest.mark.parametrize("wanted", ["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=5-9"])
@SHARED
async def test_of_an_empty_blob_there_is_no_part(held: Site, wanted: str) -> None:
    check(await held.ask(blob_path(b""), f"Range: {wanted}"), b"", 416)


@SHARED
async def test_several_range_headers_are_as_good_as_none(held: Site) -> None:
    answer = await held.ask(BLOB, "Range: bytes=0-1", "Range: bytes=5-6")
    check(answer, LAYER, 200)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (f'"{LAYER_DIGEST}"', (10, 20)),
        (f'W/"{LAYER_DIGEST}"', 200),
        (LAYER_DIGEST, 200),
        ('"sha256:0"', 200),
        ("Mon, 01 Jan 2035 00:00:00 GMT", 200),
        ("", 200),
    ],
)
@SHARED
async def test_if_range(held: Site, condition: str, expected: tuple[int, int] | int) -> None:
    """A part only of the very same bytes."""
    answer = await held.ask(BLOB, "Range: bytes=10-19", f"If-Range: {condition}")
    check(answer, LAYER, expected)


@SHARED
async def test_what_has_no_parts(held: Site) -> None:
    """Manifests, and answers without a body."""
    manifest = await held.ask(TAGGED, "Range: bytes=5-9")
    assert (manifest.status, manifest.get("Content-Range")) == (200, None)
    head = await held.ask(BLOB, "Range: bytes=5-9", method="HEAD")
    assert (head.status, head["Content-Length"]) == (200, str(len(LAYER)))
    assert head.get("Content-Range") is None
    beyond = await held.ask(BLOB, "Range: bytes=99999999-", method="HEAD")
    assert (beyond.status, beyond["Content-Length"]) == (200, str(len(LAYER)))


@SHARED
async def test_ten_thousand_ranges_are_no_work(held: Site) -> None:
    """T24. Sent as a header as long as the server reads, and answered with the whole blob."""
    many = "bytes=" + ",".join(["0-"] * 5_000)
    check(await held.ask(BLOB, f"Range: {many}"), LAYER, 200)


@asynccontextmanager
async def half_filled(site: Site) -> AsyncIterator[Line]:
    """A large blob of which the upstream has sent the first MB and then nothing."""
    digest = site.hub.push_blob(NAME, LARGE)
    fault = site.hub.faults.add(Fault(kind="stall", route="blob", at=1_000_000, times=1))
    async with connected(site.port) as line:
        await line.send(request(blob_path(digest)))
        await site.hub.wait_for(lambda: site.hub.stalled == 1)
        yield line
        site.hub.faults.remove(fault)
        site.hub.release()


@pytest.mark.parametrize(
    ("wanted", "span"),
    [
        ("bytes=0-999", (0, 1000)),
        ("bytes=999000-1500000", (999_000, 1_500_001)),
        ("bytes=1500000-", (1_500_000, 10_000_000)),
        ("bytes=-100000", (9_900_000, 10_000_000)),
    ],
)
async def test_of_a_blob_that_is_coming_in(site: Site, wanted: str, span: tuple[int, int]) -> None:
    """Never a 416 because the bytes are not here yet: the answer waits, or fetches ahead."""
    async with half_filled(site) as whole, connected(site.port) as part:
        await part.send(request(blob_path(LARGE), f"Range: {wanted}"))
        site.hub.release()
        check(await part.answer(), LARGE, span)
        check(await whole.answer(), LARGE, 200)


async def test_what_can_be_answered_of_a_blob_that_is_coming_in_is_answered_at_once(
    site: Site,
) -> None:
    async with half_filled(site), connected(site.port) as other:
        beyond = await other.ask(request(blob_path(LARGE), "Range: bytes=10000000-"))
        check(beyond, LARGE, 416)
        head = await other.ask(request(blob_path(LARGE), method="HEAD"))
        assert (head.status, head["Content-Length"]) == (200, str(len(LARGE)))


async def test_a_resumed_download_is_the_rest(site: Site) -> None:
    """As dockerd, containerd and podman do it after a connection broke."""
    digest = site.hub.push_blob(NAME, LARGE)
    got = b""
    async with connected(site.port) as line:
        await line.send(request(blob_path(digest)))
        while len(got) < 1_000_000:
            got += await line.reader.read(65536)
        line.reset()
    got = got.partition(b"\r\n\r\n")[2]
    answer = await site.ask(blob_path(digest), f"Range: bytes={len(got)}-")
    check(answer, LARGE, (len(got), len(LARGE)))
    assert got + answer.body == LARGE
    assert site.hub.count("blob", "GET", digest=digest) == 1


BOUNDS = st.one_of(
    st.integers(0, 12), st.integers(990, 1010), st.integers(69_990, 70_010), st.integers(0, 10**30)
)
RANGES = st.one_of(
    st.builds("bytes={}-{}".format, BOUNDS, BOUNDS),
    st.builds("bytes={}-".format, BOUNDS),
    st.builds("bytes=-{}".format, BOUNDS),
    st.builds("bytes={}-{},{}-{}".format, BOUNDS, BOUNDS, BOUNDS, BOUNDS),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20),
    st.text("bytes=-0123456789, ", max_size=20),
)


def expected_of(wanted: str, size: int) -> tuple[int, int] | int:
    """What RFC 9110 says; a reversed range is 416, because the conformance suite asks for it."""
    match = re.fullmatch(r"(?i:bytes)=[ \t]*(?:(\d+)-(\d*)|-(\d+))", wanted.strip(" \t"), re.ASCII)
    if match is None:
        return 200
    if match[3] is not None:
        start, stop = max(0, size - int(match[3])), size
    else:
        start = int(match[1])
        stop = min(size, int(match[2]) + 1) if match[2] else size
    return (start, stop) if start < stop else 416


@given(requests=st.lists(st.tuples(st.sampled_from(SIZES), RANGES), min_size=1, max_size=30))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@SHARED
async def test_any_range_of_any_blob(held: Site, requests: list[tuple[int, str]]) -> None:
    """The right bytes with the right offsets, or the whole, or 416; and what follows is whole."""
    contents = {size: blob(size, size) for size in SIZES}
    for content in contents.values():
        held.hub.push_blob(NAME, content)
    async with connected(held.port) as line:
        for size, wanted in requests:
            answer = await line.ask(request(blob_path(contents[size]), f"Range: {wanted}"))
            check(answer, contents[size], expected_of(wanted, size))


@SHARED
async def test_many_parts_at_once(held: Site) -> None:
    """As containerd does: open ranges from everywhere, closed after a piece, and one that stays."""
    digest = held.hub.push_blob(NAME, LARGE)
    path = blob_path(digest)

    async def nibble(start: int) -> None:
        async with connected(held.port) as line:
            await line.send(request(path, f"Range: bytes={start}-"))
            head = await line.reader.readuntil(b"\r\n\r\n")
            assert f"bytes {start}-9999999/10000000".encode() in head
            piece = await line.reader.readexactly(1000)
            assert piece == LARGE[start : start + 1000]
            line.reset()

    async with asyncio.TaskGroup() as group:
        whole = group.create_task(held.ask(path, "Range: bytes=0-"))
        for start in range(0, 9_000_000, 500_000):
            group.create_task(nibble(start))
    check(whole.result(), LARGE, (0, len(LARGE)))
