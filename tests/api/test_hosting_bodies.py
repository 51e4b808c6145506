"""How much of a manifest is read: all that is announced, up to the limit, and not a byte beyond."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.api.services import MemoryMirror, hosted
from tests.api.serving import Serving, serving
from tests.api.wire import Answer, connected, request
from tests.simulated_hub import make_index

LIMIT = 4_194_304
INDEX = make_index([])
PATH = "/v2/team/group/app/manifests/1.0"
TYPE = f"Content-Type: {INDEX.media_type}"
CHUNKED = "Transfer-Encoding: chunked"


def put(*lines: str) -> bytes:
    return request(PATH, TYPE, *lines, method="PUT")


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(content), content)


@pytest.fixture
async def server(mirror: MemoryMirror) -> AsyncIterator[Serving]:
    async with serving(mirror) as server:
        yield server


async def ask(server: Serving, *segments: bytes) -> Answer:
    async with connected(server.port) as line:
        await line.send(*segments)
        return await line.answer("PUT")


def largest() -> bytes:
    shell = INDEX.content.rstrip()[:-1] + b',"annotations":{"a":"'
    end = b'"}}'
    return shell + b"x" * (LIMIT - len(shell) - len(end)) + end


@pytest.mark.parametrize("announced", [True, False])
async def test_the_largest_there_may_be(server: Serving, *, announced: bool) -> None:
    content = largest()
    assert len(content) == LIMIT
    if announced:
        answer = await ask(server, put(f"Content-Length: {LIMIT}"), content)
    else:
        answer = await ask(server, put(CHUNKED), chunk(content), chunk(b""))
    assert answer.status == 201
    async with connected(server.port) as line:
        assert (await line.ask(request(PATH))).body == content


async def test_one_byte_more_is_refused_before_it_is_sent(server: Serving) -> None:
    answer = await ask(server, put(f"Content-Length: {LIMIT + 1}"))
    assert (answer.status, answer.code) == (413, "SIZE_INVALID")
    assert answer["Connection"] == "close"


async def test_more_than_the_limit_is_not_waited_for(server: Serving) -> None:
    """Of a body without an announced length, no more is read than may come."""
    answer = await ask(server, put(CHUNKED), chunk(b"x" * (LIMIT + 1)))
    assert (answer.status, answer.code) == (413, "SIZE_INVALID")
    assert answer["Connection"] == "close"


async def test_what_follows_the_announced_length_is_the_next_request(server: Serving) -> None:
    length = f"Content-Length: {len(INDEX.content)}"
    async with connected(server.port) as line:
        await line.send(put(length) + INDEX.content + request(PATH))
        assert (await line.answer("PUT")).status == 201
        assert (await line.answer()).body == INDEX.content


async def test_a_body_that_ends_early_is_no_manifest(server: Serving, mirror: MemoryMirror) -> None:
    async with connected(server.port) as line:
        await line.send(put(f"Content-Length: {len(INDEX.content)}") + INDEX.content[:-1])
        line.end()
        assert b" 201 " not in (await line.rest())[0]
    repository = hosted("team/group/app")
    assert await mirror.metadata.list_tags(repository, None, 1) == []


async def test_a_chunk_that_is_none_is_told(server: Serving) -> None:
    answer = await ask(server, put(CHUNKED), chunk(INDEX.content[:10]), b"zzz\r\n")
    assert (answer.status, answer.code) == (400, "SIZE_INVALID")
    assert answer["Connection"] == "close"


async def test_who_waits_for_leave_gets_it_once_the_name_is_fine(server: Serving) -> None:
    expects = ("Expect: 100-continue", f"Content-Length: {len(INDEX.content)}")
    async with connected(server.port) as line:
        await line.send(put(*expects))
        assert await line.reader.readexactly(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        await line.send(INDEX.content)
        assert (await line.answer("PUT")).status == 201
        assert (await line.ask(request(PATH))).status == 200


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (("Expect: 100-continue", f"Content-Length: {LIMIT + 1}"), 413),
        (("Expect: 100-continue", "Content-Length: 5", "Content-Encoding: gzip"), 400),
    ],
)
async def test_nobody_is_asked_for_what_is_refused_anyway(
    server: Serving, head: tuple[str, ...], status: int
) -> None:
    async with connected(server.port) as line:
        await line.send(put(*head))
        assert (await line.reader.readuntil(b"\r\n")).startswith(f"HTTP/1.1 {status}".encode())


async def test_a_client_that_stalls_is_told_and_let_go(mirror: MemoryMirror) -> None:
    services = mirror.services
    mirror.services = replace(services, write_timeout=timedelta(milliseconds=50))
    async with serving(mirror) as server:
        answer = await ask(server, put("Content-Length: 100"), b"{")
    assert (answer.status, answer.code) == (408, "SIZE_INVALID")
    assert "bytes came within 0.05 s" in str(answer.errors[0]["message"])
    assert answer["Connection"] == "close"


async def test_many_at_once_of_one_tag(server: Serving) -> None:
    manifests = [INDEX.content.rstrip()[:-1] + b', "n": %d}' % number for number in range(20)]

    async def push(content: bytes) -> int:
        return (await ask(server, put(f"Content-Length: {len(content)}"), content)).status

    assert await asyncio.gather(*map(push, manifests)) == [201] * 20
    async with connected(server.port) as line:
        assert (await line.ask(request(PATH))).body in manifests
