"""Bodies of pushes: asked for when they are wanted, and nothing that came is lost."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from mirror.oci.digest import digest_of
from mirror.registry.pour import PORTION
from tests.api.services import ELSEWHERE, ROOMY, Wishes, make_mirror
from tests.api.uploading import (
    CONTENT,
    DIGEST,
    NAME,
    NO_SUCH,
    UPLOADS,
    Uploading,
    chunked,
    finishing,
    sent,
    uploading_to,
)
from tests.api.wire import Line, connected, parse_answers, request

HALF = len(CONTENT) // 2
EXPECTING = "Expect: 100-continue"
LEAVE = b"HTTP/1.1 100 Continue\r\n\r\n"
LARGE = b"".join(number.to_bytes(4, "big") for number in range(PORTION))
"""Four times what is gathered before it is written."""


@pytest.fixture
async def server() -> AsyncIterator[Uploading]:
    async with uploading_to(make_mirror()) as server:
        yield server


def announced(method: str, target: str, length: int, *lines: str) -> bytes:
    return request(target, f"Content-Length: {length}", *lines, method=method)


# Leave to send.


@pytest.mark.parametrize("method", ["PATCH", "PUT", "POST"])
async def test_who_waits_for_leave_is_given_it(server: Uploading, method: str) -> None:
    location = await server.begin()
    target = {
        "PATCH": location,
        "PUT": finishing(location),
        "POST": f"{UPLOADS}?digest={DIGEST}",
    }[method]
    async with connected(server.port) as line, asyncio.timeout(5):
        await line.send(announced(method, target, len(CONTENT), EXPECTING))
        assert await line.reader.readexactly(len(LEAVE)) == LEAVE
        await line.send(CONTENT)
        answer = await line.answer(method)
        assert answer.status == (202 if method == "PATCH" else 201)
        assert (await line.ask(request("/v2/"))).status == 200


@pytest.mark.parametrize(
    ("method", "target", "line", "status"),
    [
        ("PATCH", NO_SUCH, "", 404),
        ("PUT", finishing(NO_SUCH), "", 404),
        ("PATCH", "{}", "Content-Range: 7-16", 416),
        ("PATCH", "{}", "Content-Range: 0-99", 400),
        ("PATCH", "{}", "Content-Range: x", 416),
        ("PUT", "{}", "", 400),
        ("PUT", "{}?digest=x", "", 400),
        ("PUT", f"{{}}?digest={DIGEST}", "Content-Range: 7-16", 416),
        ("POST", f"{UPLOADS}?digest=x", "", 400),
        ("POST", "/v2/docker.io/library/nginx/blobs/uploads/", "", 405),
        ("POST", "/v2/library/nginx/blobs/uploads/", "", 403),
    ],
)
async def test_nobody_is_given_leave_to_send_what_is_refused(
    server: Uploading, method: str, target: str, line: str, status: int
) -> None:
    target = target.format(await server.begin())
    lines = (EXPECTING, line) if line else (EXPECTING,)
    async with connected(server.port) as client, asyncio.timeout(5):
        await client.send(announced(method, target, 10, *lines))
        head = await client.reader.readuntil(b"\r\n")
        assert head.startswith(b"HTTP/1.1 %d " % status)
        assert b"Connection: close" in await client.reader.readuntil(b"\r\n\r\n")


async def test_strangers_are_not_given_leave() -> None:
    async with uploading_to(make_mirror(Wishes(trusted=ELSEWHERE))) as server:
        for method, target in (("POST", UPLOADS), ("PATCH", NO_SUCH), ("PUT", finishing(NO_SUCH))):
            answer = await server.ask(method, target, EXPECTING, body=b"")
            assert (answer.status, answer.code) == (403, "DENIED")
        for method in ("GET", "DELETE"):
            assert (await server.ask(method, NO_SUCH)).status == 403


async def test_where_there_is_no_room_nobody_is_given_leave() -> None:
    wishes = Wishes(capacity=len(CONTENT), limits=replace(ROOMY, min_free=0))
    async with uploading_to(make_mirror(wishes)) as server:
        location = await server.begin()
        async with connected(server.port) as line:
            await line.send(announced("PATCH", location, len(CONTENT) + 1, EXPECTING))
            answer = await line.answer("PATCH")
            assert (answer.status, answer.code) == (503, "UNAVAILABLE")
            assert answer["Retry-After"]
        assert (await server.ask("PUT", finishing(location), body=CONTENT)).status == 201


# What breaks off.


async def test_what_came_before_a_reset_stays(server: Uploading) -> None:
    location, digest = await server.begin(), digest_of(LARGE)
    async with connected(server.port) as line:
        await line.send(announced("PATCH", location, len(LARGE)), LARGE[: 3 * PORTION + 7])
        while await server.offset(location) < PORTION:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0)
        line.reset()
    offset = await settled(server, location)
    assert PORTION <= offset <= 3 * PORTION + 7
    rest = f"Content-Range: {offset}-{len(LARGE) - 1}"
    answer = await server.ask("PUT", finishing(location, digest), rest, body=LARGE[offset:])
    assert answer.status == 201
    assert (await server.pull(digest)).body == LARGE


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
async def test_a_client_that_closes_too_early_has_sent_a_part(
    server: Uploading, method: str
) -> None:
    location = await server.begin()
    target = location if method == "PATCH" else finishing(location)
    async with connected(server.port) as line:
        await line.send(announced(method, target, len(CONTENT)), CONTENT[:HALF])
        line.end()
        assert await line.rest() == (b"", "closed")
    assert await settled(server, location) == HALF
    assert (await server.ask("PUT", finishing(location), body=CONTENT[HALF:])).status == 201


async def test_of_a_push_in_one_request_that_breaks_off_nothing_stays(server: Uploading) -> None:
    async with connected(server.port) as line:
        head = announced("POST", f"{UPLOADS}?digest={DIGEST}", len(CONTENT))
        await line.send(head, CONTENT[:HALF])
        line.end()
        await line.rest()
    later = server.mirror.clock.now() + timedelta(days=1)
    async with asyncio.timeout(5):
        while await server.mirror.store.sweep_ingests(later):  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0)
    assert (await server.pull(DIGEST)).status == 404


async def settled(server: Uploading, location: str) -> int:
    """How much has come of it, once nobody writes to it any more."""
    answer = await server.ask("PATCH", location, body=b"")
    assert answer.status == 202
    return int(answer["Range"].partition("-")[2]) + 1


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_body_that_stalls_is_cut_off(is_chunked: bool) -> None:  # noqa: FBT001 - a parameter
    """Long after the last byte, whoever drips some; and the upload goes on."""
    mirror = make_mirror()
    mirror.services = replace(mirror.services, write_timeout=timedelta(seconds=0.3))
    async with uploading_to(mirror) as server:
        location = await server.begin()
        async with connected(server.port) as line, asyncio.timeout(10):
            if is_chunked:
                await line.send(chunked("PATCH", location, [CONTENT[:HALF]])[:-5])
            else:
                await line.send(announced("PATCH", location, len(CONTENT)), CONTENT[:HALF])
            answer = await line.answer("PATCH")
            assert (answer.status, answer.code) == (408, "SIZE_INVALID")
            assert answer["Connection"] == "close"
        assert await server.offset(location) == HALF
        assert (await server.ask("PUT", finishing(location), body=CONTENT[HALF:])).status == 201


async def test_dripping_is_stalling() -> None:
    mirror = make_mirror()
    mirror.services = replace(mirror.services, write_timeout=timedelta(seconds=0.3))
    async with uploading_to(mirror) as server:
        location = await server.begin()
        async with connected(server.port) as line, asyncio.timeout(10):
            await line.send(announced("PATCH", location, len(CONTENT)))
            answering = asyncio.create_task(line.answer("PATCH"))
            while not answering.done():
                await line.send(b"x")
                await asyncio.wait({answering}, timeout=0.01)
            assert (await answering).status == 408


@pytest.mark.parametrize("framing", [b"zzz\r\n", b"5\r\nabcdefgh\r\n", b"-1\r\n", b"\r\n\r\n"])
async def test_a_body_whose_framing_is_broken(server: Uploading, framing: bytes) -> None:
    location = await server.begin()
    async with connected(server.port) as line, asyncio.timeout(5):
        await line.arrive(chunked("PATCH", location, [CONTENT[:HALF]])[:-5])
        await line.arrive(framing)
        answer = await line.answer("PATCH")
        assert (answer.status, bool(answer.errors)) == (400, True)
        assert (await line.rest())[0] == b""
    assert HALF <= await server.offset(location) <= HALF + 5


# What looks like something else.

TRICKY = [
    b"\r\n\r\n" * 20_000,
    b"0\r\n\r\n" * 10_000,
    request("/v2/smuggled/manifests/1") * 500,
    b"\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n" + b"\r\n" * 70_000,
]


@pytest.mark.parametrize("content", TRICKY, ids=range(len(TRICKY)))
@pytest.mark.parametrize("is_chunked", [False, True])
async def test_content_is_not_taken_for_http(
    server: Uploading,
    content: bytes,
    is_chunked: bool,  # noqa: FBT001 - a parameter
) -> None:
    """And what follows it is."""
    digest = digest_of(content)
    location = await server.begin()
    cut = [content[start : start + 50_001] for start in range(0, len(content), 50_001)]
    target = finishing(location, digest)
    push = chunked("PUT", target, cut) if is_chunked else sent("PUT", target, body=content)
    pull = f"/v2/{NAME}/blobs/{digest}"
    async with connected(server.port) as line, asyncio.timeout(10):
        await line.send(push + request(pull) + request("/v2/") + b"not http at all\r\n\r\n")
        line.end()
        received, _ = await line.rest()
    answers = parse_answers(received, ["PUT", "GET", "GET", "GET"])
    assert [answer.status for answer in answers] == [201, 200, 200, 400]
    assert answers[1].body == content


async def test_bytes_are_taken_as_they_are(server: Uploading) -> None:
    """Whatever a header says of them, nobody unpacks them."""
    packed = gzip.compress(bytes(5_000_000))
    digest = digest_of(packed)
    location = await server.begin()
    lines = ("Content-Encoding: gzip", "Content-Type: multipart/form-data; boundary=x")
    answer = await server.ask("PUT", finishing(location, digest), *lines, body=packed)
    assert answer.status == 201
    assert (await server.pull(digest)).body == packed


async def test_any_number_of_requests_on_one_connection(server: Uploading) -> None:
    async with connected(server.port) as line:
        for number in range(20):
            content = CONTENT + b"%d" % number
            started = await line.ask(sent("POST", UPLOADS, body=b""))
            await take(line, "PATCH", started["Location"], content)
            target = finishing(started["Location"], digest_of(content))
            assert (await line.ask(sent("PUT", target, body=b""))).status == 201


async def take(line: Line, method: str, target: str, content: bytes) -> None:
    assert (await line.ask(chunked(method, target, [content]))).status == 202


async def test_a_body_that_nobody_wanted_ends_the_connection(server: Uploading) -> None:
    async with connected(server.port) as line:
        await line.send(announced("POST", UPLOADS, 100))
        answer = await line.answer("POST")
    assert (answer.status, answer["Connection"]) == (202, "close")


async def test_two_clients_at_once_take_turns(server: Uploading) -> None:
    """The second is told what the first has done."""
    location = await server.begin()
    span = f"Content-Range: 0-{len(CONTENT) - 1}"
    async with connected(server.port) as first, connected(server.port) as second:
        head = announced("PATCH", location, len(CONTENT), span)
        await first.arrive(head + CONTENT[:HALF])
        await second.arrive(sent("PATCH", location, span, body=CONTENT))
        await first.send(CONTENT[HALF:])
        assert (await first.answer("PATCH")).status == 202
        refused = await second.answer("PATCH")
    assert (refused.status, refused["Range"]) == (416, f"0-{len(CONTENT) - 1}")
    assert (await server.ask("PUT", finishing(location), body=b"")).status == 201
