"""One line for every request, whatever became of it, and nothing that could forge another."""

import json
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.api.access_log import LONGEST, AccessLine, as_json, as_text, client_address
from tests.api.site import BLOB, INDEX, LAYER, NAME, TAGGED, Site, blob_path
from tests.api.wire import connected, exchanged, request
from tests.simulated_hub import Fault, blob
from tests.world import START

SHARED = pytest.mark.asyncio(loop_scope="module")


async def line_of(site: Site, data: bytes, *, end: bool = True) -> AccessLine:
    """The one line that these bytes leave behind."""
    count = len(site.mirror.lines)
    await exchanged(site.port, data, end=end)
    await site.mirror.logged(count + 1)
    assert len(site.mirror.lines) == count + 1
    return site.mirror.lines[-1]


@pytest.mark.parametrize(
    ("target", "lines", "method", "status", "size"),
    [
        (TAGGED, (), "GET", 200, len(INDEX.content)),
        (TAGGED, (), "HEAD", 200, 0),
        (TAGGED, ("If-None-Match: *",), "GET", 304, 0),
        (BLOB, (), "GET", 200, len(LAYER)),
        (BLOB, (), "HEAD", 200, 0),
        (BLOB, ("Range: bytes=10-19",), "GET", 206, 10),
        (BLOB, ("If-None-Match: *",), "GET", 304, 0),
        ("/v2/", (), "GET", 200, 2),
    ],
)
@SHARED
async def test_of_an_answer_with_content(
    held: Site, target: str, lines: tuple[str, ...], method: str, status: int, size: int
) -> None:
    logged = await line_of(held, request(target, "User-Agent: a/1 (b)", *lines, method=method))
    assert logged.client == "127.0.0.1"
    assert (logged.method, logged.path) == (method, target)
    assert (logged.status, logged.bytes) == (status, size)
    assert logged.agent == "a/1 (b)"
    assert logged.cache.partition("; ttl")[0] == ("" if target == "/v2/" else "mirror; hit")
    assert logged.time == START
    assert logged.seconds >= 0


@pytest.mark.parametrize(
    ("target", "method", "status"),
    [
        (f"{TAGGED}x", "GET", 404),
        (f"{TAGGED}x", "HEAD", 404),
        ("/v2/UPPER/x/manifests/1", "GET", 400),
        (TAGGED, "PUT", 403),
        ("/nowhere", "GET", 404),
        ("/livez", "POST", 405),
    ],
)
@SHARED
async def test_of_an_error(held: Site, target: str, method: str, status: int) -> None:
    async with connected(held.port) as line:
        answer = await line.ask(request(target, method=method))
    logged = held.mirror.lines[-1]
    assert (logged.method, logged.path, logged.status) == (method, target, status)
    assert logged.bytes == len(answer.body)
    assert logged.cache == ""


@pytest.mark.parametrize(
    "data", [b"nonsense\r\n\r\n", b"GET /v2/ HTTP/1.1\r\n\r\n", b"\x15\x03\x01"]
)
@SHARED
async def test_of_what_is_no_request(held: Site, data: bytes) -> None:
    logged = await line_of(held, data, end=False)
    assert (logged.status, logged.path) == (400, "/")


@SHARED
async def test_of_a_refused_expectation(held: Site) -> None:
    logged = await line_of(held, request("/nowhere", "Expect: miracles"))
    assert (logged.status, logged.path) == (417, "/nowhere")


@SHARED
async def test_of_nothing_there_is_none(held: Site) -> None:
    count = len(held.mirror.lines)
    for data in (b"", b"\r\n", b"GET /v2/ HT"):
        await exchanged(held.port, data)
    assert (await held.ask("/v2/")).status == 200
    assert len(held.mirror.lines) == count + 1


@SHARED
async def test_one_for_each_of_many(held: Site) -> None:
    count = len(held.mirror.lines)
    data = [request(TAGGED), request(BLOB), request("/nowhere"), request(BLOB, method="HEAD")] * 20
    await exchanged(held.port, b"".join(data))
    assert [line.status for line in held.mirror.lines[count:]] == [200, 200, 404, 200] * 20


async def test_of_a_miss(site: Site) -> None:
    logged = await line_of(site, request(BLOB))
    assert (logged.bytes, logged.cache) == (len(LAYER), "mirror; fwd=miss; stored")


async def test_of_an_answer_that_broke_off(site: Site) -> None:
    """With the bytes that did go out, and the status that went out before it was known."""
    content = blob("broken", 400_000)
    digest = site.hub.push_blob(NAME, content)
    site.hub.faults.add(Fault(kind="flip", route="blob", at=399_999))
    logged = await line_of(site, request(blob_path(digest)))
    assert logged.status == 200
    assert 0 < logged.bytes < len(content)


async def test_of_a_client_that_left(site: Site) -> None:
    content = blob("left", 8_000_000)
    async with connected(site.port, receive_buffer=4096) as line:
        await line.send(request(blob_path(site.hub.push_blob(NAME, content))))
        await line.reader.readexactly(1000)
        line.reset()
    await site.mirror.logged(1)
    (logged,) = site.mirror.lines
    assert logged.status == 200
    assert logged.bytes < len(content)


async def test_of_a_client_that_left_before_the_answer(site: Site) -> None:
    site.hub.faults.add(Fault(kind="stall", route="manifest"))
    async with connected(site.port) as line:
        await line.send(request(TAGGED))
        await site.hub.wait_for(lambda: site.hub.stalled == 1)
        line.reset()
    site.hub.release()
    site.hub.faults.clear()
    await site.mirror.logged(1)
    assert [line.path for line in site.mirror.lines] == [TAGGED]


HOSTILE = [
    "%0d%0aGET%20/forged%20200",
    "%1b%5b2J%1b%5b31m",
    "%00",
    "%ff%fe",
    "%e2%80%a8%e2%80%ae",
    "%22%2c%22status%22%3a200%7d",
    "x" * 5000,
    "%e2%9c%93" * 500,
]


@pytest.mark.parametrize("hostile", HOSTILE)
@SHARED
async def test_a_hostile_name_stays_on_its_line(held: Site, hostile: str) -> None:
    logged = await line_of(held, request(f"/v2/{hostile}/manifests/1"))
    assert logged.status in (400, 404)
    check(logged)


@pytest.mark.parametrize(
    "agent", [b"\xff\xfe\xed\xa0\x80", b"\x80" * 300, b'"\\', b"a\tb", b"a" * 9000]
)
@SHARED
async def test_a_hostile_agent_stays_on_its_line(held: Site, agent: bytes) -> None:
    """Bytes that are no text are no reason for a line to be lost, nor its connection."""
    data = b"GET /v2/ HTTP/1.1\r\nHost: a\r\nUser-Agent: " + agent + b"\r\n\r\n"
    logged = await line_of(held, data)
    assert logged.status == 200
    check(logged)


def check(line: AccessLine) -> None:
    """It can be written in both forms, on one line, and is not too long."""
    written = as_json(line)
    assert "\n" not in written
    assert json.loads(written)["path"] == line.path
    assert msgspec.json.decode(written, type=AccessLine) == line
    text = as_text(line)
    assert text.isprintable()
    assert len(line.path) <= LONGEST
    assert len(line.agent) <= LONGEST


ANY = st.text(st.characters(codec="utf-8"), max_size=LONGEST)


@given(path=ANY, agent=ANY, method=ANY, cache=ANY, seconds=st.floats(0, 1e6))
def test_whatever_is_logged_is_one_line(
    path: str, agent: str, method: str, cache: str, seconds: float
) -> None:
    line = AccessLine(
        time=datetime(2026, 1, 2, tzinfo=UTC),
        client="192.0.2.1",
        method=method,
        path=path,
        status=200,
        bytes=5,
        seconds=seconds,
        agent=agent,
        cache=cache,
    )
    check(line)


def test_the_text_is_for_people() -> None:
    line = AccessLine(
        time=datetime(2026, 1, 2, tzinfo=UTC),
        client="192.0.2.1",
        method="GET",
        path="/v2/",
        status=200,
        bytes=5,
        seconds=0.25,
        agent="docker/29",
        cache="mirror; hit",
    )
    assert as_text(line) == (
        "2026-01-02T00:00:00.000+00:00 192.0.2.1 GET /v2/ 200 5B 250.0ms [mirror; hit] docker/29"
    )


@pytest.mark.parametrize("transport", [None, object()])
def test_a_client_may_have_no_address_any_more(transport: object) -> None:
    assert client_address(transport) == "-"
