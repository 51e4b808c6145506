"""What is not HTTP, or only almost: refused in JSON and hung up on, never half understood.

T19: after a request that two parsers could read in two ways, nothing on that connection is served.
"""

import asyncio
import gzip
import random

import pytest

from tests.api.mixed import MIXED
from tests.api.site import BLOB, INDEX, LAYER, NAME, TAGGED, Site
from tests.api.wire import (
    connected,
    exchanged,
    parse_answers,
    request,
)
from tests.simulated_hub import blob

SHARED = pytest.mark.asyncio(loop_scope="module")
PING = request("/v2/")
SMUGGLED = request("/v2/smuggled/smuggled/manifests/1")


def head(*lines: bytes) -> bytes:
    return b"\r\n".join([*lines, b"", b""])


MALFORMED = {
    "words": b"hello world\r\n\r\n",
    "no version": head(b"GET /v2/ ", b"Host: a"),
    "an unknown method": head(b"BREW /v2/ HTTP/1.1", b"Host: a"),
    "a method in small letters": head(b"get /v2/ HTTP/1.1", b"Host: a"),
    "HTTP/0.9": b"GET /v2/\r\n\r\n",
    "HTTP/1.2": head(b"GET /v2/ HTTP/1.2", b"Host: a"),
    "HTTP/2 with prior knowledge": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/3.0": head(b"GET /v2/ HTTP/3.0", b"Host: a"),
    "a tab": head(b"GET\t/v2/ HTTP/1.1", b"Host: a"),
    "a space in the target": head(b"GET /v2/a b HTTP/1.1", b"Host: a"),
    "no slash": head(b"GET v2/ HTTP/1.1", b"Host: a"),
    "an asterisk": head(b"GET * HTTP/1.1", b"Host: a"),
    "NUL in the target": head(b"GET /v2/\0 HTTP/1.1", b"Host: a"),
    "NUL in a header": head(b"GET /v2/ HTTP/1.1", b"Host: a", b"X: a\0b"),
    "ESC in a header": head(b"GET /v2/ HTTP/1.1", b"Host: a", b"User-Agent: \x1b[31m"),
    "bytes beyond ASCII": head(b"GET /v2/\xff\xfe HTTP/1.1", b"Host: a"),
    "UTF-8": head("GET /v2/é/ü/manifests/1 HTTP/1.1".encode(), b"Host: a"),
    "no host": head(b"GET /v2/ HTTP/1.1"),
    "two hosts": head(b"GET /v2/ HTTP/1.1", b"Host: a", b"Host: b"),
    "twice the same host": head(b"GET /v2/ HTTP/1.1", b"Host: a", b"Host: a"),
    "a space before the colon": head(b"GET /v2/ HTTP/1.1", b"Host : a"),
    "a space before the header": head(b"GET /v2/ HTTP/1.1", b" Host: a"),
    "a folded header": head(b"GET /v2/ HTTP/1.1", b"Host: a", b"X: a", b" b"),
    "a header without colon": head(b"GET /v2/ HTTP/1.1", b"Host: a", b"X"),
    "a header without name": head(b"GET /v2/ HTTP/1.1", b"Host: a", b": x"),
    "a long header": head(b"GET /v2/ HTTP/1.1", b"Host: a", b"X: " + b"x" * 20_000),
    "a long target": head(b"GET /v2/" + b"x" * 20_000 + b" HTTP/1.1", b"Host: a"),
    "300 headers": head(
        b"GET /v2/ HTTP/1.1", b"Host: a", *(b"X%d: y" % count for count in range(300))
    ),
    "bare LF": b"GET /v2/ HTTP/1.1\nHost: a\n\n",
    "bare CR": b"GET /v2/ HTTP/1.1\rHost: a\r\r\n\r\n",
    "LF at the end": b"GET /v2/ HTTP/1.1\r\nHost: a\r\n\n",
    "LF inside": b"GET /v2/ HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
    "an impossible address": head(b"GET http://[::1/v2/ HTTP/1.1", b"Host: a"),
    "an impossible port": head(b"GET http://a:99999999/v2/ HTTP/1.1", b"Host: a"),
    "TLS": bytes.fromhex("16030100c8010000c40303") + bytes(200),
    "a megabyte of garbage": blob("garbage", 1 << 20),
    "a megabyte of one letter": b"A" * (1 << 20),
}

SMUGGLING = {
    "length and chunked": (b"Content-Length: 5", b"Transfer-Encoding: chunked"),
    "chunked and length": (b"Transfer-Encoding: chunked", b"Content-Length: 5"),
    "two lengths": (b"Content-Length: 5", b"Content-Length: 6"),
    "twice the same length": (b"Content-Length: 0", b"Content-Length: 0"),
    "lengths in one line": (b"Content-Length: 5, 5",),
    "a negative length": (b"Content-Length: -1",),
    "a length with a sign": (b"Content-Length: +5",),
    "a length in hexadecimal": (b"Content-Length: 0x5",),
    "a length with a space in it": (b"Content-Length: 1 2",),
    "a boundless length": (b"Content-Length: 99999999999999999999999999",),
    "no length": (b"Content-Length:",),
    "another coding": (b"Transfer-Encoding: xchunked",),
    "another coding after chunked": (b"Transfer-Encoding: chunked, identity",),
    "chunked twice": (b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
    "a vertical tab": (b"Transfer-Encoding: \x0bchunked",),
    "a hidden coding": (b"Transfer-Encoding : chunked",),
    "a folded coding": (b"Transfer-Encoding:", b" chunked"),
    "a length in the target": (b"X: y\rContent-Length: 5",),
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
@SHARED
async def test_malformed_requests_are_refused(held: Site, data: bytes) -> None:
    before = len(held.hub.requests)
    received, _ = await exchanged(held.port, data, end=False)
    (answer,) = parse_answers(received, ["GET"])
    assert 400 <= answer.status < 500
    assert answer.errors
    assert len(held.hub.requests) == before


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
@SHARED
async def test_after_a_good_request_a_malformed_one_is_refused_as_well(
    held: Site, data: bytes
) -> None:
    """Answers stay in order, and the good request has its own."""
    received, _ = await exchanged(held.port, request(TAGGED) + data, end=False)
    good, refusal = parse_answers(received, ["GET", "GET"])
    assert (good.status, good.body) == (200, INDEX.content)
    assert 400 <= refusal.status < 500
    assert refusal.errors


@pytest.mark.parametrize("lines", SMUGGLING.values(), ids=SMUGGLING.keys())
@pytest.mark.parametrize("method", [b"GET", b"POST"])
@SHARED
async def test_a_length_that_can_be_read_in_two_ways_is_refused(
    held: Site, lines: tuple[bytes, ...], method: bytes
) -> None:
    data = head(method + b" /v2/ HTTP/1.1", b"Host: a", *lines) + b"0\r\n\r\n" + SMUGGLED
    received, _ = await exchanged(held.port, data, end=False)
    (answer,) = parse_answers(received, ["GET"])
    assert 400 <= answer.status < 500
    assert answer.errors
    assert held.hub.count(name="smuggled/smuggled") == 0


@pytest.mark.parametrize(
    ("data", "statuses"),
    [
        (head(b"GET /v2/ HTTP/1.0"), [200]),
        (head(b"GET /v2/ HTTP/1.0", b"Host: a", b"Connection: close"), [200]),
        (head(b"GET /v2/ HTTP/1.0", b"Connection: keep-alive") + PING, [200, 200]),
        (head(b"GET /v2/ HTTP/1.0") + PING, [200]),
        (head(b"GET /v2/ HTTP/1.1", b"Host: a", b"Connection: close") + PING, [200]),
        (head(b"GET /v2/ HTTP/1.1", b"Host: a", b"Connection: CLOSE, x") + PING, [200]),
        (head(b"GET http://evil.example/v2/ HTTP/1.1", b"Host: a") + PING, [200, 200]),
        (head(b"GET /v2/ HTTP/1.1", b"host:a") + PING, [200, 200]),
        (head(b"GET /v2/ HTTP/1.1", b"Host: [fd00::1]:5000") + PING, [200, 200]),
        (b"\r\n\r\n" + PING, [200]),
        (head(b"OPTIONS * HTTP/1.1", b"Host: a") + PING, [404, 200]),
        (head(b"CONNECT a:443 HTTP/1.1", b"Host: a"), [404]),
        (head(b"GET /v2/ HTTP/1.1", b"Host: a", b"Content-Length: 5") + b"hello" + PING, [200] * 2),
        (
            head(b"GET /v2/ HTTP/1.1", b"Host: a", b"Connection: Upgrade", b"Upgrade: h2c") + PING,
            [200, 200],
        ),
        (head(b"GET /v2/ HTTP/1.1", b"Host: a", b"X: " + b"x" * 15_000) + PING, [200, 200]),
        (head(b"GET /v2/ HTTP/1.1", b"Host: a", b"User-Agent: \xff\xfe") + PING, [200, 200]),
        (head(b"GET /v2/?x#y HTTP/1.1", b"Host: a") + PING, [200, 200]),
    ],
)
@SHARED
async def test_what_is_unusual_but_right_is_answered(
    held: Site, data: bytes, statuses: list[int]
) -> None:
    received, _ = await exchanged(held.port, data)
    assert [answer.status for answer in parse_answers(received, [])] == statuses


@SHARED
async def test_a_client_that_says_close_is_left_alone(held: Site) -> None:
    received, ending = await exchanged(
        held.port, request(TAGGED, "Connection: close") + SMUGGLED, end=False
    )
    (answer,) = parse_answers(received, ["GET"])
    assert (answer.status, answer["Connection"], ending) == (200, "close", "closed")
    assert held.hub.count(name="smuggled/smuggled") == 0


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("half_closed", [False, True])
@SHARED
async def test_pipelined_requests_are_answered_in_order(
    held: Site,
    seed: int,
    half_closed: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """Also when the client has closed its side, having nothing more to ask."""
    chosen = random.Random(seed).choices(MIXED, k=60)  # noqa: S311 - guards nothing
    data = b"".join(each for each, _, _ in chosen)
    if not half_closed:
        data += request("/v2/", "Connection: close")
    received, ending = await exchanged(held.port, data, end=half_closed)
    answers = parse_answers(received, [method for _, method, _ in chosen])
    assert [answer.status for answer in answers][: len(chosen)] == [each[2] for each in chosen]
    assert len(answers) == len(chosen) + (not half_closed)
    assert ending == "closed"


@SHARED
async def test_a_client_that_closed_its_side_gets_what_takes_a_while(held: Site) -> None:
    content = blob("slow", 100_000)
    digest = held.hub.push_blob(NAME, content)
    held.hub.latency = 0.05
    try:
        received, ending = await exchanged(
            held.port, request(f"/v2/{NAME}/blobs/{digest}") + request(TAGGED)
        )
    finally:
        held.hub.latency = 0.0
    first, second = parse_answers(received, ["GET", "GET"])
    assert (first.body, second.body, ending) == (content, INDEX.content, "closed")


@pytest.mark.parametrize("data", [b"", b"GET /v2/ HTT", request("/v2/")[:-2], PING + PING[:-2]])
@SHARED
async def test_half_a_request_is_no_request(held: Site, data: bytes) -> None:
    """And its connection ends with the client's side of it."""
    received, ending = await exchanged(held.port, data)
    assert len(parse_answers(received, [])) == (len(data) > len(PING))
    assert ending == "closed"


@SHARED
async def test_before_half_a_request_whole_ones_are_answered(held: Site) -> None:
    half = request(TAGGED, "Content-Length: 100", method="PUT") + b"half"
    received, ending = await exchanged(held.port, request(BLOB) + request(TAGGED) + half)
    answers = parse_answers(received, [])
    assert [answer.body for answer in answers] == [LAYER, INDEX.content]
    assert ending == "closed"


@SHARED
async def test_a_body_that_turns_out_malformed_is_not_waited_for(held: Site) -> None:
    async with connected(held.port) as line, asyncio.timeout(5):
        first = await line.ask(request("/v2/", "Transfer-Encoding: chunked"))
        assert first.status == 200
        await line.send(b"not a chunk\r\n\r\n" + SMUGGLED)
        assert await line.rest() == (b"", "closed")
    assert held.hub.count(name="smuggled/smuggled") == 0


@SHARED
async def test_who_reads_a_body_hears_that_it_is_malformed(held: Site) -> None:
    lines = ("Transfer-Encoding: chunked", "Content-Type: application/json")
    async with connected(held.port) as line, asyncio.timeout(5):
        await line.arrive(request("/api/v1/evict", *lines, method="POST"), b"5\r\n{   ", b"zzz\r\n")
        answer = await line.answer("POST")
        assert answer.status == 400
        assert answer.errors
        assert (await line.rest())[0] == b""


@SHARED
async def test_a_packed_body_is_not_unpacked(held: Site) -> None:
    """T23. Whatever it would become."""
    packed = gzip.compress(b'{"dry_run":true}' + b" " * 1000)
    lines = ("Content-Type: application/json", "Content-Encoding: gzip")
    asked = request("/api/v1/evict", *lines, f"Content-Length: {len(packed)}", method="POST")
    received, _ = await exchanged(held.port, asked + packed)
    (answer,) = parse_answers(received, ["POST"])
    assert answer.status == 400
    assert answer.errors


@pytest.mark.parametrize("body", [b"{", b""])
@SHARED
async def test_half_a_body_is_no_request(held: Site, body: bytes) -> None:
    lines = ("Content-Type: application/json", "Content-Length: 100")
    received, _ = await exchanged(held.port, request("/api/v1/evict", *lines, method="POST") + body)
    for answer in parse_answers(received, ["POST"]):
        assert 400 <= answer.status < 500


@SHARED
async def test_where_a_request_was_sent_to_changes_nothing(held: Site) -> None:
    """T17. Neither Host nor what proxies add, nor an absolute address, is ever believed."""
    plain = await held.ask(TAGGED, "X: y")
    for lines in (
        ("X-Forwarded-Host: evil.example", "X-Forwarded-Proto: https", "X-Forwarded-For: 10.1.1.1"),
        ("Forwarded: for=10.1.1.1;host=evil.example;proto=https",),
        ("X-Original-URL: /v2/other/other/manifests/1", "X-Rewrite-URL: /evil"),
        ("X-HTTP-Method-Override: DELETE",),
    ):
        assert (await held.ask(TAGGED, *lines)).lasting == plain.lasting
    async with connected(held.port) as line:
        for host, target in (
            ("evil.example", TAGGED),
            ("", TAGGED),
            ("mirror", f"http://evil.example{TAGGED}"),
            ("mirror", f"https://user:secret@evil.example:444{TAGGED}"),
        ):
            answer = await line.ask(request(target, "X: y", host=host))
            assert answer.lasting == plain.lasting
