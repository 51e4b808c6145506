"""Edge cases of pulling, by their row (see `test_rows_names`): 37 to 51, blobs."""

import asyncio
import os
from pathlib import Path

import pytest

from tests.api.cache_status import parse_cache_status
from tests.api.site import (
    BLOB,
    IMAGE,
    LAYER,
    LAYER_DIGEST,
    NAME,
    SMALL,
    Site,
    blob_path,
    manifest_path,
    running_site,
)
from tests.api.wire import connected, parse_answer, request
from tests.simulated_hub import Fault, Redirects, SimulatedHub, blob, digest_of
from tests.simulated_hub.faults import Kind

OTHER = "library/other"
LARGE = blob("large", 4_000_000)


def file_of(site: Site, digest: str) -> Path:
    encoded = digest.removeprefix("sha256:")
    return site.mirror.data / "blobs" / "sha256" / encoded[:2] / encoded


async def hold(site: Site, content: bytes) -> str:
    """The path of a blob that is held."""
    path = blob_path(site.hub.push_blob(NAME, content))
    while "hit" not in (await site.ask(path))["Cache-Status"]:
        pass
    return path


async def test_row_37_a_blob_asked_for_in_another_repository(site: Site) -> None:
    """Having the bytes is no leave to show them: the other repository has to have them too."""
    await site.pull()
    site.hub.push_blob(OTHER, SMALL)
    absent = await site.ask(blob_path(LAYER, OTHER))
    assert (absent.status, absent.code) == (404, "BLOB_UNKNOWN")
    assert (await site.ask(blob_path(LAYER, OTHER), method="HEAD")).status == 404
    shared = await site.ask(blob_path(SMALL, OTHER))
    assert (shared.status, shared.body) == (200, SMALL)
    assert [asked.method for asked in site.hub.find("blob", digest=digest_of(SMALL))] == [
        *("GET", "HEAD"),
    ]


async def test_row_38_a_blob_of_a_repository_nobody_pulled_here(site: Site) -> None:
    assert (await site.ask(BLOB)).body == LAYER
    assert site.hub.count("manifest") == 0


@pytest.mark.parametrize("status", [429, 500, 502, 503])
async def test_row_39_a_blob_that_the_upstream_will_not_give(site: Site, status: int) -> None:
    """A client with an origin goes there at once; without one it hears the truth."""
    site.hub.faults.add(Fault(kind="status", route="blob", status=status))
    answer = await site.ask(BLOB)
    assert (answer.status, answer.code) == (404, "BLOB_UNKNOWN")
    direct = await site.ask(f"/v2/docker.io/{NAME}/blobs/{LAYER_DIGEST}")
    assert direct.status in ((429,) if status == 429 else (502, 503))
    assert direct.get("Retry-After") is not None or status != 429


async def test_row_40_many_want_what_nobody_has(site: Site) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(site.ask(BLOB)) for _ in range(50)]
    assert {task.result().body for task in tasks} == {LAYER}
    assert site.hub.count("blob", "GET") == 1


async def test_row_41_who_asked_first_leaves(site: Site) -> None:
    digest = site.hub.push_blob(NAME, LARGE)
    site.hub.bandwidth = 20_000_000
    async with connected(site.port) as line:
        await line.send(request(blob_path(digest)))
        await line.reader.readexactly(10_000)
        line.reset()
    await site.hub.wait_for(lambda: site.hub.find("blob")[0].completed)
    assert await hold(site, LARGE)
    assert site.hub.count("blob", "GET") == 1


async def test_row_42_an_upstream_that_stalls(tmp_path: Path, hub: SimulatedHub) -> None:
    """Nobody notices, but for the time it takes."""
    async with running_site(tmp_path, hub, {"MIRROR__TIMEOUTS__PROGRESS": "300ms"}) as site:
        digest = hub.push_blob(NAME, LARGE)
        hub.faults.add(Fault(kind="stall", route="blob", at=1_000_000, times=1))
        assert (await site.ask(blob_path(digest))).body == LARGE
        ranges = [asked.headers.get("Range") for asked in hub.find("blob")]
    assert ranges[0] is None
    assert ranges[1:]
    assert all(each is not None and each.startswith("bytes=") for each in ranges[1:])


BREAKS: list[Kind] = ["close", "reset"]


@pytest.mark.parametrize("kind", BREAKS)
@pytest.mark.parametrize("ranges", [True, False])
async def test_row_43_an_upstream_that_ends_early(
    site: Site,
    kind: Kind,
    ranges: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """Also one that cannot resume: it is read from the start, and what is here is skipped."""
    site.hub.ranges = ranges
    digest = site.hub.push_blob(NAME, LARGE)
    site.hub.faults.add(Fault(kind=kind, route="blob", at=1_000_000, times=1))
    assert (await site.ask(blob_path(digest))).body == LARGE
    assert site.hub.count("blob", "GET") == 2


UNMEASURED: list[Kind] = ["chunked", "no_length"]


@pytest.mark.parametrize("kind", UNMEASURED)
async def test_row_44_an_upstream_that_does_not_say_how_long(site: Site, kind: Kind) -> None:
    """Whether a manifest has told it or not, we do."""
    site.hub.faults.add(Fault(kind=kind, route="blob"))
    unknown = await site.ask(blob_path(site.hub.push_blob(NAME, LARGE)))
    assert (unknown["Content-Length"], unknown.body) == (str(len(LARGE)), LARGE)
    await site.ask(manifest_path(IMAGE))
    known = await site.ask(BLOB)
    assert (known["Content-Length"], known.body) == (str(len(LAYER)), LAYER)


@pytest.mark.parametrize("content", [b"", b"{}"])
async def test_row_45_the_smallest_blobs(site: Site, content: bytes) -> None:
    path = blob_path(site.hub.push_blob(NAME, content))
    for method in ("HEAD", "GET", "GET", "HEAD"):
        answer = await site.ask(path, method=method)
        assert (answer.status, answer["Content-Length"]) == (200, str(len(content)))
        assert answer.body == (b"" if method == "HEAD" else content)


async def test_row_46_a_part_of_what_is_still_coming(site: Site) -> None:
    digest = site.hub.push_blob(NAME, LARGE)
    site.hub.faults.add(Fault(kind="stall", route="blob", at=1_000_000, times=1))
    async with connected(site.port) as whole, connected(site.port) as part:
        await whole.send(request(blob_path(digest)))
        await site.hub.wait_for(lambda: site.hub.stalled == 1)
        await part.send(request(blob_path(digest), "Range: bytes=1500000-"))
        site.hub.release()
        answer = await part.answer()
        assert (answer.status, answer.body) == (206, LARGE[1_500_000:])
        assert answer["Content-Range"] == "bytes 1500000-3999999/4000000"


@pytest.mark.parametrize("heads", [True, False])
async def test_row_47_head_of_a_blob_nobody_has(
    site: Site,
    heads: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """Where it would lead to an address signed for GET, a byte of it tells as much."""
    site.hub.redirects = Redirects(blobs=307, heads=heads)
    head = await site.ask(BLOB, method="HEAD")
    assert (head.status, head["Content-Length"]) == (200, str(len(LAYER)))
    assert sum(asked.sent for asked in site.hub.find("cdn")) <= 1
    assert parse_cache_status(head["Cache-Status"]).parameters == {"fwd": "miss"}
    assert (await site.ask(BLOB)).body == LAYER


async def test_row_48_a_layer_that_lives_elsewhere(site: Site) -> None:
    """Its manifest says where; the client goes there itself."""
    foreign = f"sha256:{'f' * 64}"
    for method in ("GET", "HEAD"):
        answer = await site.ask(f"/v2/{NAME}/blobs/{foreign}", method=method)
        assert answer.status == 404


async def test_row_49_no_room_to_keep_it(tmp_path: Path, hub: SimulatedHub) -> None:
    async with running_site(tmp_path, hub, {"MIRROR__CACHE__MIN_FREE": "1000TiB"}) as site:
        for _ in ("once", "and again"):
            answer = await site.ask(BLOB)
            assert (answer.status, answer.body) == (200, LAYER)
            status = parse_cache_status(answer["Cache-Status"])
            assert status.forwarded == "miss"
        assert not file_of(site, LAYER_DIGEST).exists()
        assert hub.count("blob", "GET") >= 2


@pytest.mark.parametrize("size", [0, 100, len(LAYER) - 1, len(LAYER) + 1])
async def test_row_50_a_blob_of_the_wrong_size(site: Site, size: int) -> None:
    """It is set aside for the operator, and fetched again."""
    await site.pull()
    file = file_of(site, LAYER_DIGEST)
    file.chmod(0o600)
    os.truncate(file, size)
    assert (await site.ask(BLOB)).body == LAYER
    assert site.hub.count("blob", "GET", digest=LAYER_DIGEST) == 2
    assert any(path.is_file() for path in (site.mirror.data / "quarantine").rglob("*"))


async def test_row_51_a_blob_that_is_removed_while_it_is_read(site: Site) -> None:
    path = await hold(site, LARGE)
    async with connected(site.port, receive_buffer=4096) as line:
        await line.send(request(path))
        line.received = await line.reader.readexactly(10_000)
        file_of(site, digest_of(LARGE)).unlink()
        assert parse_answer(line.received, "GET") is None
        assert (await line.answer()).body == LARGE
