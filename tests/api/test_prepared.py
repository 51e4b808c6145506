"""The short way gives the same answer as the long one, or is not taken."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mirror.api.connection import LONGEST_HEAD, PlainHeads
from mirror.api.prepared import LARGEST, LIFETIME, MOST
from mirror.oci.digest import parse_digest
from mirror.ports.metadata import Use
from tests.api.services import MemoryMirror, make_mirror, repository
from tests.api.serving import Serving, serving
from tests.api.site import NAME, running_site
from tests.api.wire import connected, exchanged, parse_answers, request
from tests.simulated_hub import Image, SimulatedHub, digest_of, make_image

IMAGE = make_image(layers=[b"layer"])
SECOND = timedelta(seconds=1)
BY_TAG = f"/v2/{NAME}/manifests/1"
BY_DIGEST = f"/v2/{NAME}/manifests/{IMAGE.digest}"
TARGETS = [
    *(BY_TAG, BY_DIGEST, f"{BY_TAG}?ns=docker.io", f"{BY_DIGEST}?ns=docker.io"),
    *("/v2/nginx/manifests/1", "/v2/docker.io/library/nginx/manifests/1"),
    *("/v2/library%2Fnginx/manifests/1", f"{BY_TAG}?anything=else", f"http://x{BY_TAG}"),
]
LONG_WAY = "X-Long-Way: 1"


@pytest.fixture
async def mirror() -> MemoryMirror:
    mirror = make_mirror()
    await mirror.hold(repository(f"docker.io/{NAME}"), "1", IMAGE)
    mirror.shelves["docker.io"].put(NAME, "1", IMAGE)
    return mirror


@pytest.fixture
async def server(mirror: MemoryMirror) -> AsyncIterator[Serving]:
    async with serving(mirror) as server:
        await keep(server)
        yield server


async def keep(server: Serving, *targets: str) -> None:
    """Have the answers prepared."""
    async with connected(server.port) as line:
        for target in targets or TARGETS:
            for method in ("GET", "HEAD"):
                for _ in ("read from the store", "kept"):
                    await line.ask(request(target, LONG_WAY, method=method))


def fields(server: Serving) -> tuple[object, ...]:
    line = server.lines[-1]
    return (*(line.time, line.client, line.method, line.path, line.status), line.bytes, line.cache)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("target", TARGETS)
async def test_the_same_bytes(server: Serving, target: str, method: str) -> None:
    """And the same line in the access log, but for the time it took."""
    async with connected(server.port) as line:
        agent = "User-Agent: docker/29.1"
        long = await line.ask(request(target, LONG_WAY, agent, method=method))
        assert not server.was_prepared()
        logged = fields(server)
        short = await line.ask(request(target, agent, method=method))
        assert server.was_prepared()
    assert short.lasting == long.lasting
    assert short["Date"]
    assert short.status == 200
    assert fields(server) == logged
    assert server.lines[-1].agent == server.lines[-2].agent == "docker/29.1"


@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("Accept: */*",),
        ("accept: */*", "ACCEPT: a/b", "Accept:c/d"),
        ("Accept-Encoding: gzip", "User-Agent: x", "Connection: keep-alive"),
        ("Accept-Language: de", "connection: Keep-Alive"),
    ],
)
async def test_what_every_client_sends_is_plain(server: Serving, lines: Sequence[str]) -> None:
    async with connected(server.port) as line:
        assert (await line.ask(request(BY_TAG, *lines))).body == IMAGE.content
        assert server.was_prepared()


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["If-None-Match: *"], 304),
        (["Range: bytes=0-1"], 200),
        (["Authorization: Bearer x"], 200),
        (["Cookie: a=b"], 200),
        (["Connection: close"], 200),
        (["Connection: keep-alive, Upgrade", "Upgrade: h2c"], 200),
        (["Upgrade: h2c"], 200),
        (["Content-Length: 0"], 200),
        (["Expect: 100-continue"], 200),
        (["Via: 1.1 proxy"], 200),
        (["TE: trailers"], 200),
        (["X-Anything: 1"], 200),
        (["Host: mirror"], 400),
        (["Accept : */*"], 400),
        (["Accept: a", " b"], 400),
        (["Accept: \xe9"], 200),
        (["User-Agent: a\tb"], 200),
        (["Accept: " + "x" * 1025], 200),
        (["Accept: " + "x" * 1000] * 4, 200),
        (["Accept: x\ny: z"], 400),
        (["Accept: x\0"], 400),
        (["Acceptable: x"], 200),
        (["Transfer-Encoding: identity"], 400),
    ],
)
async def test_any_other_header_takes_the_long_way(
    server: Serving, lines: Sequence[str], status: int
) -> None:
    async with connected(server.port) as line:
        answer = await line.ask(request(BY_TAG, *lines))
    assert not server.was_prepared()
    assert answer.status == status


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (f"GET {BY_TAG} HTTP/1.0\r\nHost: a\r\n\r\n", 200),
        (f"GET {BY_TAG} HTTP/1.1\r\n\r\n", 400),
        (f"GET {BY_TAG} HTTP/1.1\r\nHost: \r\n\r\n", 200),
        (f"GET {BY_TAG} HTTP/1.1\r\nHost: a b\r\n\r\n", 200),
        (f"GET  {BY_TAG} HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        (f"get {BY_TAG} HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (f"\r\nGET {BY_TAG} HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        (f"GET {BY_TAG} HTTP/1.1\nHost: a\n\n", 400),
        (f"GET {BY_TAG} HTTP/1.1\r\nHost: a\n\r\n", 400),
        (f"GET {BY_TAG}#x HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        (f"GET {BY_TAG}? HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        (f"PUT {BY_TAG} HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    ],
)
async def test_what_is_spelled_differently_takes_the_long_way(
    server: Serving, data: str, status: int
) -> None:
    async with connected(server.port) as line:
        answer = await line.ask(data.encode())
    assert answer.status == status
    assert not server.was_prepared()


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
    mirror: MemoryMirror, server: Serving, before: list[bytes]
) -> None:
    """The prepared answer waits for its turn, also when the answer before it has gone."""
    mirror.shelves["docker.io"].turns = 20
    for turns in range(0, 60, 3):
        mirror.clock.advance(timedelta(minutes=1))
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


async def test_for_a_peer_that_does_not_read(mirror: MemoryMirror) -> None:
    """Not a byte more is piled up than the framework would: it waits until all was taken."""
    large = padded(IMAGE, 60_000)
    await mirror.hold(repository("docker.io/library/large"), "1", large)
    target = "/v2/library/large/manifests/1"
    async with serving(mirror) as server, connected(server.port, receive_buffer=4096) as line:
        await keep(server, target)
        line.writer.transport.pause_reading()  # type: ignore[attr-defined]  # of any socket
        for _ in range(150):
            await line.arrive(request(target))
        taken = sum(each.bytes for each in server.lines)
        line.writer.transport.resume_reading()  # type: ignore[attr-defined]  # of any socket
        for _ in range(150):
            assert (await line.answer()).body == large.content
    assert taken < 150 * large.size


def padded(image: Image, size: int) -> Image:
    """The same image in a manifest that is so much longer."""
    content = image.content.rstrip(b"}\n") + b',"annotations":{"a":"' + b"x" * size + b'"}}'
    return replace(image, content=content, digest=digest_of(content))


async def test_only_small_manifests_are_prepared(mirror: MemoryMirror) -> None:
    large = padded(IMAGE, LARGEST)
    await mirror.hold(repository("docker.io/library/large"), "1", large)
    target = "/v2/library/large/manifests/1"
    async with serving(mirror) as server, connected(server.port) as line:
        await keep(server, target)
        assert (await line.ask(request(target))).body == large.content
        assert not server.was_prepared()


async def test_for_a_second_only(mirror: MemoryMirror, server: Serving) -> None:
    async with connected(server.port) as line:
        mirror.clock.advance(SECOND * LIFETIME - timedelta(milliseconds=1))
        await line.ask(request(BY_TAG))
        assert server.was_prepared()
        mirror.clock.advance(timedelta(milliseconds=1))
        await line.ask(request(BY_TAG))
        assert not server.was_prepared()
        await line.ask(request(BY_TAG))
        assert server.was_prepared()


async def test_never_beyond_the_freshness_of_its_tag(mirror: MemoryMirror, server: Serving) -> None:
    """A second before a tag has to be confirmed its answer is not prepared any more."""
    async with connected(server.port) as line:
        for _ in range(1000):
            answer = await line.ask(request(BY_TAG))
            if "fwd" in answer["Cache-Status"]:
                break
            mirror.clock.advance(timedelta(milliseconds=350))
        else:
            raise AssertionError("the tag never had to be confirmed")
    ttl = re.compile(r"ttl=(\d+)")
    for each in server.lines:
        if each.seconds == 0.0:
            found = ttl.search(each.cache)
            assert found is not None
            assert int(found[1]) > LIFETIME


async def test_a_tag_that_is_never_fresh_is_never_prepared(
    tmp_path: Path, hub: SimulatedHub
) -> None:
    """It may move between any two requests, and the very next one says so."""
    upstream = f'{{url: "{hub.url}", realms: ["{hub.token_host}"], freshness: 0s}}'
    environ = {"MIRROR__UPSTREAMS": f"{{docker.io: {upstream}}}"}
    async with running_site(tmp_path, hub, environ) as site, connected(site.port) as line:
        await line.ask(request(BY_TAG))
        for count in range(5):
            moved = make_image(layers=[b"%d" % count])
            hub.move_tag(NAME, "1", moved)
            assert (await line.ask(request(BY_TAG))).body == moved.content
            assert (await line.ask(request(BY_TAG))).body == moved.content
        assert all(each.seconds > 0.0 for each in site.mirror.lines)


async def test_counts_are_the_same(mirror: MemoryMirror, server: Serving) -> None:
    async def counted(*lines: str) -> list[int]:
        statistics = mirror.services.statistics
        before = [sample.value for sample in statistics.samples()]
        async with connected(server.port) as line:
            for method in ("GET", "HEAD", "GET"):
                await line.ask(request(BY_TAG, *lines, method=method))
        return [
            sample.value - value for sample, value in zip(statistics.samples(), before, strict=True)
        ]

    long = await counted(LONG_WAY)
    assert not server.was_prepared()
    short = await counted()
    assert server.was_prepared()
    assert short == long
    assert sorted(long)[-2:] == [3, 2 * IMAGE.size]


async def test_uses_are_behind_by_less_than_a_second(mirror: MemoryMirror, server: Serving) -> None:
    used = Use(repository(f"docker.io/{NAME}"), parse_digest(IMAGE.digest))
    async with connected(server.port) as line:
        prepared = 0
        for _ in range(20):
            mirror.clock.advance(SECOND * 0.3)
            await line.ask(request(BY_DIGEST))
            prepared += server.was_prepared()
            assert mirror.clock.now() - mirror.usage._uses[used] < SECOND * LIFETIME
    assert prepared > 10


async def test_there_is_room_for_so_many(server: Serving) -> None:
    """Whoever asks for the same in ever new words has the memory of it forgotten, nothing more."""
    async with connected(server.port) as line:
        for count in range(MOST):
            await line.ask(request(f"{BY_TAG}?{count}"))
        await line.ask(request(f"{BY_TAG}?{MOST - 1}"))
        assert server.was_prepared()
        await line.ask(request(BY_TAG))
        assert not server.was_prepared()


async def test_an_idle_connection_is_closed(mirror: MemoryMirror) -> None:
    async with serving(mirror, keepalive=0.2) as server, connected(server.port) as line:
        await keep(server, BY_TAG)
        await line.ask(request(BY_TAG))
        assert server.was_prepared()
        async with asyncio.timeout(5):
            assert await line.rest() == (b"", "closed")


async def test_a_connection_in_use_is_not_closed(mirror: MemoryMirror) -> None:
    """Although the framework sees next to nothing of what passes."""
    async with serving(mirror, keepalive=1.0) as server, connected(server.port) as line:
        loop = asyncio.get_running_loop()
        begun, prepared = loop.time(), 0
        while loop.time() - begun < 2.0:
            assert (await line.ask(request(BY_TAG))).body == IMAGE.content
            prepared += server.was_prepared()
            await asyncio.sleep(0.02)
        assert prepared > 20


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
    mirror = make_mirror()
    mirror.shelves["docker.io"].turns = 15
    await mirror.hold(repository(f"docker.io/{NAME}"), "1", IMAGE)
    mirror.shelves["docker.io"].put(NAME, "1", IMAGE)
    async with serving(mirror) as short, serving(mirror, prepares=False) as long:
        await keep(short)
        for sequence in sequences:
            assert await heard(short, sequence) == await heard(long, sequence)
        assert all(each.seconds > 0.0 for each in long.lines)


async def heard(server: Serving, sequence: list[bytes | int]) -> bytes:
    received, _ = await exchanged(server.port, *sequence)
    return re.sub(rb"\r\nDate: [^\r]*", b"", received)


def test_heads_are_judged_by_their_bytes() -> None:
    heads = PlainHeads()
    assert heads.agent(b"Host: a\r\nUser-Agent:  skopeo/1.9  \r\n\r\n") == "skopeo/1.9"
    assert heads.agent(b"Host: a\r\n\r\n") == ""
    assert heads.agent(b"\r\n") is None
    assert heads.agent(b"Host: a\r\n\r\nGET") is None
    assert heads.agent(b"Host: a\r\n\r\nHost: a\r\n\r\n") is None


def test_no_head_takes_long_to_judge() -> None:
    """A pattern that backtracks would let one client stop the server."""
    accept = b"Accept: " + b"x" * 20 + b"\r\n"
    head = accept * (LONGEST_HEAD // len(accept))
    for tail in (b"", b"\r\n", b"Host: a\r\n", b"Host: a\r\nHost: b\r\n\r\n", b"Accept"):
        assert PlainHeads().agent(head + tail) is None
