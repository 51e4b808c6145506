"""However requests arrive, in pieces, together or too early: the short way waits for its turn."""

import asyncio
import re
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.services import MemoryMirror
from tests.api.serving import Serving, serving
from tests.api.short_way import (
    BY_DIGEST,
    BY_TAG,
    IMAGE,
    LONG_WAY,
    keep,
    make_stocked,
)
from tests.api.site import NAME
from tests.api.wire import connected, exchanged, parse_answers, request


async def test_two_requests_in_one_segment(server: Serving) -> None:
    async with connected(server.port) as line:
        await line.send(request(BY_TAG) + request(BY_DIGEST))
        first, second = await line.answer(), await line.answer()
    assert "ttl" in first["Cache-Status"]
    assert "ttl" not in second["Cache-Status"]
    assert all(each.seconds for each in server.lines[-2:])


@pytest.mark.parametrize("cut", [1, 3, 4, 20, len(request(BY_TAG)) - 2])
async def test_a_request_in_two_segments(server: Serving, cut: int) -> None:
    data = request(BY_TAG)
    async with connected(server.port) as line:
        await line.arrive(data[:cut], data[cut:])
        assert (await line.answer()).body == IMAGE.content
        assert not server.was_prepared()


async def test_after_half_a_request_what_looks_like_one_is_the_other_half(
    server: Serving,
) -> None:
    """The second segment is, by itself, a request that is prepared; here it is a header."""
    async with connected(server.port) as line:
        await line.arrive(b"GET /nowhere HTTP/1.1\r\nHost: a\r\nX: ", request(BY_TAG))
        answer = await line.answer()
    assert answer.status in (400, 404)
    assert not server.was_prepared()


async def test_what_looks_like_a_request_is_a_body(server: Serving) -> None:
    data = request(BY_TAG)
    head = request("/livez", f"Content-Length: {len(data)}")
    async with connected(server.port) as line:
        await line.arrive(head, data, request(BY_DIGEST))
        statuses = [(await line.answer()).status for _ in range(2)]
    assert statuses == [200, 200]
    assert [each.path for each in server.lines[-2:]] == ["/livez", BY_DIGEST]


async def test_after_an_answer_that_said_close_nothing_is_served(server: Serving) -> None:
    """However soon the next request comes."""
    for turns in range(8):
        count = len(server.lines)
        last = request(BY_TAG, "Connection: close")
        async with connected(server.port) as line:
            reading = asyncio.create_task(line.rest())
            line.writer.write(last)
            await line.arrive(turns)
            line.writer.write(request(BY_TAG))
            received, _ = await reading
        (answer,) = parse_answers(received, ["GET"])
        assert answer["Connection"] == "close"
        assert len(server.lines) == count + 1


ABSENT = [request(f"/v2/{NAME}/manifests/absent-{count}") for count in range(3)]


@pytest.mark.parametrize(
    "before",
    [
        [ABSENT[0]],
        [ABSENT[0], ABSENT[1]],
        [ABSENT[0] + ABSENT[1]],
        [request("/v2/") + ABSENT[0]],
        [request("/v2/"), ABSENT[0], ABSENT[1]],
        [ABSENT[0][:20], ABSENT[0][20:], ABSENT[1]],
        [request("/v2/", "Content-Length: 3"), b"abc", ABSENT[0]],
    ],
)
async def test_while_an_answer_is_under_way(
    stocked: MemoryMirror, server: Serving, before: list[bytes]
) -> None:
    """The prepared answer waits for its turn, also when the answer before it has gone."""
    stocked.upstreams["docker.io"].turns = 20
    for turns in range(0, 60, 3):
        stocked.clock.advance(timedelta(minutes=1))
        await keep(server, BY_TAG)
        received, _ = await exchanged(server.port, *before, turns, request(BY_TAG))
        statuses = [answer.status for answer in parse_answers(received, [])]
        assert statuses[-1] == 200
        assert statuses == [404 if b"absent" in each else 200 for each in whole(before)] + [200]


def whole(segments: list[bytes]) -> list[bytes]:
    """The requests, without the ends of their heads and without what is no head."""
    heads = b"".join(segments).split(b"\r\n\r\n")
    return [head for head in heads if b"HTTP" in head]


async def test_behind_a_whole_request_may_be_half_of_another(server: Serving) -> None:
    """What comes next is a header of that one, whatever it looks like by itself."""
    half = b"GET /nowhere HTTP/1.1\r\nHost: a\r\nX: "
    received, _ = await exchanged(server.port, request("/v2/") + half, request(BY_TAG))
    first, second = parse_answers(received, [])
    assert (first.status, second.status) in ((200, 400), (200, 404))


async def test_behind_a_head_with_a_body_is_no_request(server: Serving) -> None:
    head = request("/livez", "Transfer-Encoding: chunked")
    received, _ = await exchanged(server.port, head, request(BY_TAG))
    (answer,) = parse_answers(received, [])
    assert answer.body == b"ok\n"


HEADS = st.sampled_from(
    [
        request(BY_TAG),
        request(BY_TAG, "Accept: */*", "User-Agent: x"),
        request(BY_DIGEST, method="HEAD"),
        request(BY_TAG, LONG_WAY),
        request(BY_TAG, "If-None-Match: *"),
        request("/v2/"),
        request("/nowhere"),
        request(f"/v2/{NAME}/manifests/absent"),
        request(BY_TAG, "Content-Length: 0"),
        request(BY_TAG, "Content-Length: 3") + b"abc",
        request(BY_TAG, "Transfer-Encoding: chunked") + b"3\r\nabc\r\n0\r\n\r\n",
        request(BY_TAG, method="PUT"),
        request(BY_TAG, version="HTTP/1.0"),
        request(BY_TAG, "Connection: close"),
        request(BY_TAG, "Connection: Upgrade", "Upgrade: h2c"),
        b"\r\n",
        b"nonsense\r\n\r\n",
        b"GET /v2/ HTTP/1.1\nHost: a\n\n",
    ]
)


SLOW = st.builds("/v2/{}/manifests/absent-{}".format, st.just(NAME), st.integers(0, 1000)).map(
    request
)
"""The upstream is asked, which takes some turns of the event loop."""


@st.composite
def segments(draw: st.DrawFn) -> list[bytes | int]:
    """Requests, joined and cut anywhere, some of them soon after the other.

    Most are plain, so that the short way is often taken.
    """
    plain = st.just(request(BY_TAG))
    data = b"".join(draw(st.lists(plain | plain | SLOW | HEADS, min_size=1, max_size=12)))
    ends = [match.end() for match in re.finditer(rb"\r\n\r\n", data)]
    anywhere = st.integers(0, len(data))
    cuts = draw(st.sets(st.sampled_from([0, *ends]) | anywhere, max_size=15))
    pieces = [data[start:stop] for start, stop in pairwise(sorted(cuts | {0, len(data)}))]
    pauses = draw(st.lists(st.integers(0, 20), min_size=len(pieces), max_size=len(pieces)))
    return [each for pair in zip(pieces, pauses, strict=True) for each in pair]


@given(sequences=st.lists(segments(), min_size=1, max_size=3))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_any_sequence_of_segments_is_answered_alike(
    sequences: list[list[bytes | int]],
) -> None:
    """Request by request, byte by byte, as if there were no short way."""
    stocked = await make_stocked()
    stocked.upstreams["docker.io"].turns = 15
    async with serving(stocked) as short, serving(stocked, prepares=False) as long:
        await keep(short)
        for sequence in sequences:
            assert await heard(short, sequence) == await heard(long, sequence)
        assert all(each.seconds > 0.0 for each in long.lines)


async def heard(server: Serving, sequence: list[bytes | int]) -> bytes:
    received, _ = await exchanged(server.port, *sequence)
    return re.sub(rb"\r\nDate: [^\r]*", b"", received)
