"""Blobs on their way to clients that leave and stall, and bytes that turn out to be wrong."""

import asyncio
import gc
import os
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from tests.api.site import NAME, TAGGED, Site, blob_path, manifest_path, running_site
from tests.api.wire import Line, connected, eventually, parse_answer, request
from tests.simulated_hub import Fault, SimulatedHub, blob
from tests.simulated_hub.faults import Kind

SHARED = pytest.mark.asyncio(loop_scope="module")
LARGE = blob("large", 8_000_000)
IMPATIENT = {"MIRROR__TIMEOUTS__WRITE": "1s"}


async def hold(site: Site, content: bytes) -> str:
    """The path of a blob that is held."""
    path = blob_path(site.hub.push_blob(NAME, content))
    while "hit" not in (await site.ask(path))["Cache-Status"]:
        pass
    site.mirror.lines.clear()
    return path


@asynccontextmanager
async def nothing_left_over() -> AsyncIterator[None]:
    """As many files and tasks afterwards as before."""
    files, tasks = open_files(), asyncio.all_tasks()
    yield
    await eventually(lambda: asyncio.all_tasks() <= tasks and open_files() <= files)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def leave(site: Site, path: str, at: int) -> None:
    """Read so many bytes of the answer, then go as a killed process goes."""
    async with connected(site.port) as line:
        await line.send(request(path))
        while at > 0:
            at -= len(await line.reader.read(min(at, 65536)))
        line.reset()


@SHARED
async def test_clients_that_leave_take_nothing_with_them(held: Site) -> None:
    """F21. Whatever byte they leave at, and however many."""
    content = blob("left behind", 2_000_000)
    path = await hold(held, content)
    source = random.Random(21)  # noqa: S311 - guards nothing
    places = [source.randrange(len(content)) for _ in range(250)] + list(range(0, 2500, 10))

    async def visit() -> None:
        while places:
            await leave(held, path, places.pop())

    async with nothing_left_over():
        async with asyncio.TaskGroup() as group:
            for _ in range(10):
                group.create_task(visit())
        await held.mirror.logged(500)
    assert {line.status for line in held.mirror.lines} == {200}
    assert all(line.bytes <= len(content) for line in held.mirror.lines)
    assert (await held.ask(path)).body == content


async def test_a_download_goes_on_when_everybody_has_left(site: Site) -> None:
    digest = site.hub.push_blob(NAME, LARGE)
    site.hub.bandwidth = 20_000_000
    source = random.Random(22)  # noqa: S311 - guards nothing
    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(leave(site, blob_path(digest), source.randrange(2_000_000)))
    await site.hub.wait_for(lambda: site.hub.find("blob")[0].completed)
    await hold(site, LARGE)
    assert site.hub.count("blob", "GET") == 1


async def test_who_takes_nothing_is_cut_off(tmp_path: Path, hub: SimulatedHub) -> None:
    """T20. Whoever writes the answer, and also when all of it is written."""
    manifest = b'{"schemaVersion":2,"manifests":[],"annotations":{"a":"%s"}}' % (b"x" * 3_000_000)
    hub.push_manifest(NAME, "large", manifest, "application/vnd.oci.image.index.v1+json")
    async with running_site(tmp_path, hub, IMPATIENT) as site:
        questions = {
            "a held blob": [await hold(site, LARGE)],
            "a cold blob": [blob_path(hub.push_blob(NAME, blob("cold", 8_000_000)))],
            "a manifest": [manifest_path("large")],
            "tags": [TAGGED] * 4000,
            "pings": ["/v2/"] * 8000,
        }
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            for name, paths in questions.items():
                group.create_task(cut_off(site, paths), name=name)
        assert (await site.ask("/v2/")).status == 200


async def cut_off(site: Site, paths: list[str]) -> None:
    """Ask, take nothing, and wait for the end."""
    async with connected(site.port, receive_buffer=4096) as line:
        line.stop_reading()
        line.writer.write(b"".join(map(request, paths)))
        await line.broken()


async def test_who_leaves_a_little_is_cut_off_too(tmp_path: Path, hub: SimulatedHub) -> None:
    """Less than what a transport would hold without another word."""
    manifest = b'{"schemaVersion":2,"manifests":[],"annotations":{"a":"%s"}}' % (b"x" * 20_000)
    hub.push_manifest(NAME, "wide", manifest, "application/vnd.oci.image.index.v1+json")
    async with (
        running_site(tmp_path, hub, IMPATIENT) as site,
        connected(site.port, receive_buffer=4096) as line,
    ):
        assert (await line.ask(request("/v2/"))).status == 200
        line.stop_reading()
        theirs = other_end(line)
        while not theirs.get_write_buffer_size():
            answered = len(site.mirror.lines)
            line.writer.write(request(manifest_path("wide")))
            await eventually(partial(is_answered_or_stuck, site, answered, theirs))
        assert theirs.get_write_buffer_size() <= 2 * len(manifest)
        async with asyncio.timeout(20):
            await line.broken()


def is_answered_or_stuck(site: Site, answered: int, theirs: asyncio.Transport) -> bool:
    return len(site.mirror.lines) > answered or theirs.get_write_buffer_size() > 0


def other_end(line: Line) -> asyncio.Transport:
    """What the server, in this process too, has of the connection."""
    address = line.writer.get_extra_info("sockname")
    transports = (each for each in gc.get_objects() if isinstance(each, asyncio.Transport))
    return next(each for each in transports if each.get_extra_info("peername") == address)


async def test_who_takes_its_time_is_not_cut_off(tmp_path: Path, hub: SimulatedHub) -> None:
    """It takes longer than the deadline altogether, but never nothing for so long."""
    async with running_site(tmp_path, hub, {"MIRROR__TIMEOUTS__WRITE": "1s"}) as site:
        path = await hold(site, LARGE)
        loop = asyncio.get_running_loop()
        async with connected(site.port, receive_buffer=65536) as line:
            begun = loop.time()
            await line.send(request(path))
            assert b"200 OK" in await line.reader.readuntil(b"\r\n\r\n")
            content = b""
            while len(content) < len(LARGE):
                content += await line.reader.readexactly(80_000)
                await asyncio.sleep(0.01)
        assert content == LARGE
        assert loop.time() - begun > 1.0


async def test_who_is_slow_is_not_cut_off(tmp_path: Path, hub: SimulatedHub) -> None:
    """It takes something all the time, as over a bad line, and little within the deadline."""
    async with running_site(tmp_path, hub, IMPATIENT) as site:
        content = blob("slowly", 2_400_000)
        path = await hold(site, content)
        async with connected(site.port, receive_buffer=65536) as line:
            await line.send(request(path))
            assert b"200 OK" in await line.reader.readuntil(b"\r\n\r\n")
            received = b""
            while len(received) < len(content):
                received += await line.reader.readexactly(40_000)
                await asyncio.sleep(0.07)
        assert received == content


def resident() -> int:
    """Bytes of memory that this process occupies."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@SHARED
async def test_a_crowd_that_never_reads_costs_little(held: Site) -> None:
    """F22. Nobody waits for it, and what it does not take is not kept for it."""
    path = await hold(held, LARGE)
    async with AsyncExitStack() as crowd:
        before = resident()
        for _ in range(300):
            line = await crowd.enter_async_context(connected(held.port, receive_buffer=4096))
            line.stop_reading()
            await line.arrive(request(path))
            crowd.callback(line.reset)
        for _ in range(3):
            assert (await held.ask(path)).body == LARGE
            assert (await held.ask(TAGGED)).status == 200
        assert resident() - before < 60_000_000
    await held.mirror.logged(300)


async def test_a_file_that_shrinks_under_us_breaks_the_answer(site: Site) -> None:
    path = await hold(site, LARGE)
    encoded = path.rpartition(":")[2]
    file = site.mirror.data / "blobs" / "sha256" / encoded[:2] / encoded
    async with connected(site.port, receive_buffer=4096) as line:
        await line.send(request(path))
        await line.reader.readuntil(b"\r\n\r\n")
        file.chmod(0o600)
        os.truncate(file, 4_000_000)
        content, _ = await line.rest()
    assert len(content) <= 4_000_000
    assert LARGE.startswith(content)


WRONG: list[Kind] = [
    *("flip", "pad", "truncate", "other_blob", "gzip", "html", "endless", "garbage"),
    *("long_length", "short_length", "no_length", "duplicate_length", "chunked", "bad_chunk"),
    *("unterminated_chunks", "length_and_chunked", "partial_uninvited", "wrong_content_range"),
    *("shifted_range", "reset", "close", "status", "redirect", "huge_header"),
]


@pytest.mark.parametrize("size", [100, 300_000])
@SHARED
async def test_no_whole_answer_is_wrong(held: Site, size: int) -> None:
    """T05, F14, F15. Whatever the upstream does: the right bytes, an error, or a broken answer."""
    for kind in WRONG:
        content = blob(f"{kind} {size}", size)
        digest = held.hub.push_blob(NAME, content)
        fault = Fault(kind=kind, route="blob", reference=digest, at=at_of(kind, size))
        held.hub.faults.add(fault)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(fetched(held, blob_path(digest))) for _ in range(3)]
            tasks.append(group.create_task(fetched(held, blob_path(digest), "bytes=10-")))
        held.hub.faults.remove(fault)
        for task in tasks:
            received = task.result()
            assert received, kind
            check(received, content, kind)
        # The breaker is not what is tried here.
        held.mirror.clock.advance(timedelta(minutes=10))


def at_of(kind: Kind, size: int) -> int | None:
    return size // 2 if kind in ("reset", "close", "no_length", "chunked") else None


async def fetched(site: Site, path: str, wanted: str | None = None) -> bytes:
    async with connected(site.port) as line, asyncio.timeout(20):
        lines = ["Connection: close", *([f"Range: {wanted}"] if wanted else [])]
        await line.send(request(path, *lines))
        return (await line.rest())[0]


def check(received: bytes, content: bytes, kind: str) -> None:
    parsed = parse_answer(received, "GET")
    if parsed is None:
        return  # cut, and so no answer that anyone could take for one
    answer, rest = parsed
    assert rest == b"", kind
    match answer.status:
        case 200:
            assert answer.body == content, kind
        case 206:
            assert answer.body == content[10:], kind
        case status:
            assert status in (404, 502, 503), kind
            assert answer.errors
