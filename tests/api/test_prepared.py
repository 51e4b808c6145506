"""The short way gives the same answer as the long one, and only for as long as it is right."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from mirror.api.connection import LONGEST_HEAD, PlainHeads
from mirror.api.prepared import LARGEST, LIFETIME, MOST
from mirror.oci.digest import parse_digest
from mirror.ports.metadata import Use
from tests.api.services import MemoryMirror, repository
from tests.api.serving import Serving, serving
from tests.api.short_way import (
    BY_DIGEST,
    BY_TAG,
    IMAGE,
    LONG_WAY,
    SECOND,
    TARGETS,
    UNSURE,
    keep,
)
from tests.api.site import NAME, running_site
from tests.api.wire import connected, request
from tests.simulated_hub import Image, SimulatedHub, digest_of, make_image


def fields(server: Serving) -> tuple[object, ...]:
    line = server.lines[-1]
    return (*(line.time, line.client, line.method, line.path, line.status), line.bytes, line.cache)


@pytest.mark.parametrize(
    ("target", "method"),
    [
        (target, method)
        for target in TARGETS
        for method in ("GET", "HEAD")
        if (target, method) != (UNSURE, "HEAD")
    ],
)
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


async def test_not_where_the_answer_depends_on_what_is_accepted(server: Serving) -> None:
    """Before containerd pushes, it asks whether what it has is here: what is upstream is not."""
    for accepted, status in (
        ("*/*", 200),
        ("application/vnd.oci.image.index.v1+json, */*", 404),
        ("application/vnd.oci.image.index.v1+json, application/json, */*", 200),
    ):
        async with connected(server.port) as line:
            answer = await line.ask(request(UNSURE, f"Accept: {accepted}", method="HEAD"))
        assert not server.was_prepared()
        assert answer.status == status


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
        (f"PUT {BY_TAG} HTTP/1.1\r\nHost: a\r\n\r\n", 403),
    ],
)
async def test_what_is_spelled_differently_takes_the_long_way(
    server: Serving, data: str, status: int
) -> None:
    async with connected(server.port) as line:
        answer = await line.ask(data.encode())
    assert answer.status == status
    assert not server.was_prepared()


async def test_for_a_peer_that_does_not_read(stocked: MemoryMirror) -> None:
    """Not a byte more is piled up than the framework would: it waits until all was taken."""
    large = padded(IMAGE, 60_000)
    await stocked.hold(repository("docker.io/library/large"), "1", large)
    target = "/v2/library/large/manifests/1"
    async with serving(stocked) as server, connected(server.port, receive_buffer=4096) as line:
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


async def test_only_small_manifests_are_prepared(stocked: MemoryMirror) -> None:
    large = padded(IMAGE, LARGEST)
    await stocked.hold(repository("docker.io/library/large"), "1", large)
    target = "/v2/library/large/manifests/1"
    async with serving(stocked) as server, connected(server.port) as line:
        await keep(server, target)
        assert (await line.ask(request(target))).body == large.content
        assert not server.was_prepared()


async def test_for_a_second_only(stocked: MemoryMirror, server: Serving) -> None:
    async with connected(server.port) as line:
        stocked.clock.advance(SECOND * LIFETIME - timedelta(milliseconds=1))
        await line.ask(request(BY_TAG))
        assert server.was_prepared()
        stocked.clock.advance(timedelta(milliseconds=1))
        await line.ask(request(BY_TAG))
        assert not server.was_prepared()
        await line.ask(request(BY_TAG))
        assert server.was_prepared()


async def test_never_beyond_the_freshness_of_its_tag(
    stocked: MemoryMirror, server: Serving
) -> None:
    """A second before a tag has to be confirmed its answer is not prepared any more."""
    async with connected(server.port) as line:
        for _ in range(1000):
            answer = await line.ask(request(BY_TAG))
            if "fwd" in answer["Cache-Status"]:
                break
            stocked.clock.advance(timedelta(milliseconds=350))
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


async def test_counts_are_the_same(stocked: MemoryMirror, server: Serving) -> None:
    async def counted(*lines: str) -> list[int]:
        statistics = stocked.services.statistics
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


async def test_uses_are_behind_by_less_than_a_second(
    stocked: MemoryMirror, server: Serving
) -> None:
    used = Use(repository(f"docker.io/{NAME}"), parse_digest(IMAGE.digest))
    async with connected(server.port) as line:
        prepared = 0
        for _ in range(20):
            stocked.clock.advance(SECOND * 0.3)
            await line.ask(request(BY_DIGEST))
            prepared += server.was_prepared()
            assert stocked.clock.now() - stocked.usage._uses[used] < SECOND * LIFETIME
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


async def test_an_idle_connection_is_closed(stocked: MemoryMirror) -> None:
    async with serving(stocked, keepalive=1.0) as server:
        await keep(server, BY_TAG)
        async with connected(server.port) as line, asyncio.timeout(30):
            await line.ask(request(BY_TAG))
            assert server.was_prepared()
            assert await line.rest() == (b"", "closed")


async def test_a_connection_in_use_is_not_closed(stocked: MemoryMirror) -> None:
    """Although the framework sees next to nothing of what passes."""
    async with serving(stocked, keepalive=1.0) as server, connected(server.port) as line:
        loop = asyncio.get_running_loop()
        begun, prepared = loop.time(), 0
        async with asyncio.timeout(60):
            while loop.time() - begun < 2.0 or prepared <= 20:
                assert (await line.ask(request(BY_TAG))).body == IMAGE.content
                prepared += server.was_prepared()
                await asyncio.sleep(0.02)


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
