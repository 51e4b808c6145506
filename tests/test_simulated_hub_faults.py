"""Every fault of the simulated hub shows its effect on the wire."""

import asyncio
import json
import zlib
from collections.abc import AsyncIterator, Callable
from typing import get_args

import aiohttp
import pytest

from tests.simulated_hub import (
    Fault,
    Kind,
    Quota,
    Redirects,
    SimulatedHub,
    blob,
    digest_of,
    make_image,
)
from tests.simulated_hub.raw_client import RawAnswer, hang_up, open_raw, raw_request

NAME = "library/hello"
LAYER = blob("layer", 1000)
OTHER = blob("other", 700)
IMAGE = make_image(layers=[LAYER, OTHER], config=b"{}")
DIGEST = IMAGE.layers[0]
MANIFEST = f"/v2/{NAME}/manifests/1"
BLOB = f"/v2/{NAME}/blobs/{DIGEST}"

Claim = Callable[[RawAnswer], bool]


@pytest.fixture
async def hub() -> AsyncIterator[SimulatedHub]:
    """One that asks for no token and has one image."""
    async with SimulatedHub(auth="none") as hub:
        hub.push(NAME, "1", IMAGE)
        yield hub


def length(answer: RawAnswer) -> str | None:
    return answer.headers.get("Content-Length")


def differing(answer: RawAnswer) -> list[int]:
    pairs = enumerate(zip(answer.body, LAYER, strict=True))
    return [position for position, (sent, right) in pairs if sent != right]


def cut(at: int, ending: str) -> Claim:
    return lambda answer: (
        (answer.body, length(answer), answer.ending) == (LAYER[:at], "1000", ending)
    )


EFFECTS: list[tuple[Fault, Claim]] = [
    (Fault(kind="status"), lambda a: a.status == 500 and "errors" in json.loads(a.body)),
    (Fault(kind="status", status=429, retry_after=7, body=b"slow down"),
     lambda a: (a.status, a.body, a.headers["Retry-After"]) == (429, b"slow down", "7")),
    (Fault(kind="status", status=299), lambda a: a.received.startswith(b"HTTP/1.1 299 Unknown\r")),
    (Fault(status=304), lambda a: a.received == b"HTTP/1.1 304 Not Modified\r\n\r\n"),
    (Fault(kind="html"), lambda a: (a.status, a.headers["Content-Type"]) == (200, "text/html")),
    (Fault(kind="redirect"), lambda a: (a.status, a.headers["Location"]) == (307, BLOB)),
    (Fault(kind="redirect", status=302, location="http://169.254.169.254/"),
     lambda a: (a.status, a.headers["Location"]) == (302, "http://169.254.169.254/")),
    (Fault(kind="garbage"), lambda a: a.status is None and len(a.received) > 0),
    (Fault(kind="flip"), lambda a: differing(a) == [500] and length(a) == "1000"),
    (Fault(kind="flip", at=3), lambda a: differing(a) == [3]),
    (Fault(kind="flip", at=999), lambda a: differing(a) == [999]),
    (Fault(kind="pad"), lambda a: (a.body, length(a)) == (LAYER + b" ", "1001")),
    (Fault(kind="pad", size=5000), lambda a: len(a.body) == 6000 == int(length(a) or 0)),
    (Fault(kind="pad", body=b"xy"), lambda a: a.body == LAYER + b"xy"),
    (Fault(kind="truncate"), lambda a: (a.body, length(a)) == (LAYER[:500], "500")),
    (Fault(kind="truncate", at=999), lambda a: (a.body, length(a)) == (LAYER[:999], "999")),
    (Fault(kind="other_blob"), lambda a: a.body in IMAGE.blobs.values() and a.body != LAYER),
    (Fault(kind="other_blob", body=OTHER), lambda a: (a.body, length(a)) == (OTHER, "700")),
    (Fault(kind="gzip"),
     lambda a: zlib.decompress(a.body, 31) == LAYER and a.headers["Content-Encoding"] == "gzip"),
    (Fault(kind="long_length"), lambda a: (a.body, length(a)) == (LAYER, "1001")),
    (Fault(kind="long_length", size=9), lambda a: (a.body, length(a)) == (LAYER, "1009")),
    (Fault(kind="short_length"), lambda a: (a.body, length(a)) == (LAYER, "500")),
    (Fault(kind="no_length"), lambda a: (a.body, length(a), a.ending) == (LAYER, None, "closed")),
    (Fault(kind="no_length", at=10), lambda a: (a.body, length(a)) == (LAYER[:10], None)),
    (Fault(kind="no_length_header"), lambda a: (a.body, length(a)) == (LAYER, None)),
    (Fault(kind="duplicate_length"),
     lambda a: a.headers.getall("Content-Length") == ["1000", "1001"]),
    (Fault(kind="chunked"), lambda a: a.body == b"3e8\r\n" + LAYER + b"\r\n0\r\n\r\n"),
    (Fault(kind="chunked", at=10), lambda a: a.body == b"a\r\n" + LAYER[:10] + b"\r\n0\r\n\r\n"),
    (Fault(kind="bad_chunk", at=10),
     lambda a: a.body.startswith(b"a\r\n" + LAYER[:10] + b"\r\nxyz\r\n")),
    (Fault(kind="unterminated_chunks"), lambda a: a.body == b"3e8\r\n" + LAYER + b"\r\n"),
    (Fault(kind="length_and_chunked"),
     lambda a: length(a) == "1000" and a.headers["Transfer-Encoding"] == "chunked"),
    (Fault(kind="wrong_type"), lambda a: a.headers["Content-Type"].startswith("text/plain")),
    (Fault(kind="no_digest_header"),
     lambda a: a.body == LAYER and not {"Docker-Content-Digest", "ETag"} & set(a.headers)),
    (Fault(kind="wrong_digest_header"),
     lambda a: a.body == LAYER and a.headers["Docker-Content-Digest"] not in ("", DIGEST)),
    (Fault(kind="huge_header", size=70_000), lambda a: len(a.headers["X-Huge"]) == 70_000),
    (Fault(kind="partial_uninvited", at=300),
     lambda a: (a.status, a.body, a.headers["Content-Range"])
     == (206, LAYER[300:], "bytes 300-999/1000")),
    (Fault(kind="reset"), lambda a: (a.received, a.ending) == (b"", "reset")),
    (Fault(kind="reset", at=0), cut(0, "reset")),
    (Fault(kind="reset", at=400), cut(400, "reset")),
    (Fault(kind="reset", at=999), cut(999, "reset")),
    (Fault(kind="close"), lambda a: (a.received, a.ending) == (b"", "closed")),
    (Fault(kind="close", at=400), cut(400, "closed")),
    (Fault(kind="delay", seconds=0.001), cut(1000, "closed")),
    (Fault(kind="slow_headers", seconds=0.0001), cut(1000, "closed")),
    (Fault(kind="drip", at=990, seconds=0.001), cut(1000, "closed")),
    (Fault(status=204, headers=(("X-Odd", "1"),)), lambda a: a.headers["X-Odd"] == "1"),
    (Fault(kind="flip", headers=(("Content-Length", "7"),)), lambda a: length(a) == "7"),
]  # fmt: skip
ELSEWHERE: set[Kind] = {"stall", "endless", "wrong_content_range", "shifted_range"}


@pytest.mark.parametrize(
    ("fault", "shows"), EFFECTS, ids=[f"{fault.kind}-{fault.at}" for fault, _ in EFFECTS]
)
async def test_a_fault_shows(hub: SimulatedHub, fault: Fault, shows: Claim) -> None:
    right = await raw_request(hub.host, BLOB)
    assert right.body == LAYER
    hub.faults.add(fault)
    answer = await raw_request(hub.host, BLOB)
    assert shows(answer), answer
    assert hub.faults.hits(fault) == 1
    hub.faults.remove(fault)
    assert await raw_request(hub.host, BLOB) == right


def test_every_kind_of_fault_is_shown_somewhere() -> None:
    assert {fault.kind for fault, _ in EFFECTS} | ELSEWHERE == set(get_args(Kind))


# ---- the kinds that need more than one question


@pytest.mark.parametrize("at", [0, 400, 999])
async def test_a_stall_holds_the_rest_back_until_release(hub: SimulatedHub, at: int) -> None:
    hub.faults.add(Fault(route="blob", kind="stall", at=at))
    reader, writer = await open_raw(hub.host, BLOB)
    head = await reader.readuntil(b"\r\n\r\n")
    assert b"Content-Length: 1000" in head
    assert await reader.readexactly(at) == LAYER[:at]
    await hub.wait_for(lambda: hub.stalled == 1)
    assert (hub.requests[0].status, hub.requests[0].sent) == (200, at)
    hub.release()
    assert await reader.read() == LAYER[at:]
    await hang_up(writer)


async def test_a_stall_can_come_before_the_headers(hub: SimulatedHub) -> None:
    hub.faults.add(Fault(route="manifest", kind="stall", method="HEAD"))
    asked = asyncio.create_task(raw_request(hub.host, MANIFEST, "HEAD"))
    await hub.wait_for(lambda: hub.stalled == 1)
    assert not asked.done()
    hub.release()
    assert (await asked).status == 200


async def test_an_endless_answer_ends_when_the_client_leaves(hub: SimulatedHub) -> None:
    hub.faults.add(Fault(route="manifest", kind="endless"))
    reader, writer = await open_raw(hub.host, MANIFEST)
    await reader.readuntil(b"\r\n\r\n")
    assert await reader.readexactly(5 * IMAGE.size) == 5 * IMAGE.content
    writer.transport.abort()
    await hub.wait_for(lambda: hub.requests[0].finished)
    assert not hub.requests[0].completed


async def test_wrong_ranges(hub: SimulatedHub) -> None:
    hub.faults.add(Fault(kind="wrong_content_range", times=1))
    hub.faults.add(Fault(kind="shifted_range", times=1))
    assert (await raw_request(hub.host, BLOB)).body == LAYER, "no range was asked for"
    lying = await raw_request(hub.host, BLOB, Range="bytes=10-19")
    assert (lying.body, lying.headers["Content-Range"]) == (LAYER[10:20], "bytes 11-20/1000")
    shifted = await raw_request(hub.host, BLOB, Range="bytes=10-19")
    assert shifted.body == LAYER[11:20] + b"\0"
    assert shifted.headers["Content-Range"] == "bytes 10-19/1000"


async def test_a_reset_answer_is_resumed_where_it_broke(hub: SimulatedHub) -> None:
    hub.faults.add(Fault(route="blob", kind="reset", at=400, times=1))
    first = await raw_request(hub.host, BLOB)
    rest = await raw_request(hub.host, BLOB, Range=f"bytes={len(first.body)}-")
    assert first.body + rest.body == LAYER


async def test_a_reset_of_much_data_loses_none_of_it(hub: SimulatedHub) -> None:
    much = blob("much", 20_000_000)
    digest = hub.push_blob(NAME, much)
    hub.faults.add(Fault(route="blob", kind="reset", at=19_999_999))
    answer = await raw_request(hub.host, f"/v2/{NAME}/blobs/{digest}")
    assert (len(answer.body), answer.ending) == (19_999_999, "reset")


async def test_the_client_library_sees_the_broken_body(hub: SimulatedHub) -> None:
    hub.faults.add(Fault(route="blob", kind="close", at=400))
    async with aiohttp.ClientSession() as client, client.get(hub.url + BLOB) as answer:
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()


@pytest.mark.parametrize(
    "slow",
    [
        Fault(kind="delay", seconds=0.05),
        Fault(kind="drip", at=990, seconds=0.005),
        Fault(kind="slow_headers", seconds=0.0005),
    ],
    ids=lambda fault: fault.kind,
)
async def test_a_slow_answer_takes_its_time(hub: SimulatedHub, slow: Fault) -> None:
    hub.faults.add(slow)
    loop = asyncio.get_running_loop()
    started = loop.time()
    assert (await raw_request(hub.host, BLOB)).body == LAYER
    assert loop.time() - started >= 0.05


# ---- whom a fault strikes


async def statuses(hub: SimulatedHub, *targets: str, method: str = "GET") -> list[int | None]:
    return [(await raw_request(hub.host, target, method)).status for target in targets]


async def test_a_fault_strikes_as_often_as_planned(hub: SimulatedHub) -> None:
    fault = hub.faults.add(Fault(route="blob", status=503, skip=1, times=2))
    assert await statuses(hub, BLOB, MANIFEST, BLOB, BLOB, BLOB) == [200, 200, 503, 503, 200]
    assert hub.faults.hits(fault) == 2


async def test_faults_follow_each_other(hub: SimulatedHub) -> None:
    for status in (500, 502, 429):
        hub.faults.add(Fault(status=status, times=1))
    assert await statuses(hub, BLOB, BLOB, BLOB, BLOB) == [500, 502, 429, 200]


async def test_a_fault_can_be_for_a_method_or_a_reference(hub: SimulatedHub) -> None:
    hub.faults.add(Fault(route="manifest", method="HEAD", status=405))
    hub.faults.add(Fault(reference=IMAGE.layers[1], status=404))
    assert await statuses(hub, MANIFEST, method="HEAD") == [405]
    other = f"/v2/{NAME}/blobs/{IMAGE.layers[1]}"
    assert await statuses(hub, MANIFEST, BLOB, other) == [200, 200, 404]
    hub.faults.clear()
    assert await statuses(hub, other) == [200]


async def test_a_fault_of_the_body_is_not_spent_on_a_head(hub: SimulatedHub) -> None:
    fault = hub.faults.add(Fault(route="blob", kind="reset", at=10, times=1))
    await statuses(hub, BLOB, method="HEAD")
    assert hub.faults.hits(fault) == 0
    assert (await raw_request(hub.host, BLOB)).ending == "reset"


async def test_a_head_can_lack_its_length(hub: SimulatedHub) -> None:
    hub.faults.add(Fault(route="manifest", kind="no_length_header", method="HEAD"))
    answer = await raw_request(hub.host, MANIFEST, "HEAD")
    assert (answer.status, length(answer)) == (200, None)


async def test_a_challenge_comes_before_a_fault() -> None:
    async with SimulatedHub() as hub:
        hub.push(NAME, "1", IMAGE)
        late = hub.faults.add(Fault(route="blob", status=500, times=1))
        assert await statuses(hub, BLOB) == [401]
        assert hub.faults.hits(late) == 0
        hub.faults.add(Fault(route="blob", status=502, before_auth=True))
        assert await statuses(hub, BLOB) == [502]


async def test_the_cdn_and_the_token_server_can_fail(hub: SimulatedHub) -> None:
    hub.redirects = Redirects(blobs=307)
    hub.faults.add(Fault(route="cdn", kind="flip"))
    hub.faults.add(Fault(route="token", kind="pad", size=2_000_000))
    sent = await raw_request(hub.host, BLOB)
    there = await raw_request(hub.cdn_host, sent.headers["Location"].removeprefix(hub.cdn_url))
    assert sent.status == 307
    assert digest_of(there.body) != DIGEST
    giant = await raw_request(hub.token_host, "/token")
    assert len(giant.body) > 2_000_000
    assert "token" in json.loads(giant.body)


async def test_a_replaced_answer_costs_no_quota(hub: SimulatedHub) -> None:
    hub.quota = Quota(remaining=5)
    hub.faults.add(Fault(route="manifest", status=500, times=1))
    assert await statuses(hub, MANIFEST) == [500]
    assert hub.quota.remaining == 5
    assert await statuses(hub, MANIFEST) == [200]
    assert hub.quota.remaining == 4
