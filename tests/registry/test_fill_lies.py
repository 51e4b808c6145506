"""Downloads from a whole registry that lies, breaks and stalls, over real connections.

However an answer goes wrong, a range that came whole is right, and nothing wrong is stored.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from mirror.oci.digest import digest_of
from mirror.oci.errors import OCIError
from mirror.oci.manifest import Descriptor, References
from mirror.oci.media_type import OCI_LAYER_GZIP, OCI_MANIFEST
from mirror.registry.follow import FillFailed
from mirror.upstream.client import HttpUpstream
from mirror.upstream.settings import Timeouts, UpstreamSettings
from tests.registry.reading import begin, fetch
from tests.registry.workbench import (
    HUB,
    MIRROR,
    NAME,
    NGINX,
    Workbench,
    disk_ground,
    fills_ended,
    set_up,
)
from tests.simulated_hub import Fault, SimulatedHub, blob
from tests.world import SettableClock

SIZE = 300_000
LAYER = blob("layer", SIZE)
DIGEST = digest_of(LAYER)
LONG = timedelta(minutes=20)
PATIENT = Timeouts(connect=60, headers=60, progress=60)
TIRED_OF_HEADERS = Timeouts(connect=60, headers=0.3, progress=60)
TIRED_OF_BODIES = Timeouts(connect=60, headers=60, progress=0.5)
PARTS = [(0, SIZE), (0, 100_000), (120_000, 280_000), (SIZE - 100, SIZE)]

LENGTH_LIES = [
    Fault(route="blob", kind="truncate", at=150_000),
    Fault(route="blob", kind="truncate", at=0),
    Fault(route="blob", kind="pad"),
    Fault(route="blob", kind="long_length"),
    Fault(route="blob", kind="short_length"),
    Fault(route="blob", kind="short_length", at=0),
    Fault(route="blob", kind="no_length"),
    Fault(route="blob", kind="no_length", at=150_000),
    Fault(route="blob", kind="duplicate_length"),
    Fault(route="blob", kind="chunked"),
    Fault(route="blob", kind="chunked", at=150_000),
    Fault(route="blob", kind="bad_chunk"),
    Fault(route="blob", kind="unterminated_chunks"),
    Fault(route="blob", kind="unterminated_chunks", at=150_000),
    Fault(route="blob", kind="length_and_chunked"),
    Fault(route="blob", kind="endless"),
]
OTHER_LIES = [
    Fault(route="blob", kind="flip", at=0),
    Fault(route="blob", kind="flip", at=SIZE - 1),
    Fault(route="blob", kind="other_blob"),
    Fault(route="blob", kind="html"),
    Fault(route="blob", kind="gzip"),
    Fault(route="blob", kind="garbage"),
    Fault(route="blob", kind="partial_uninvited"),
    Fault(route="blob", kind="wrong_content_range"),
    Fault(route="blob", kind="shifted_range"),
    Fault(route="blob", kind="close", at=150_000),
    Fault(route="blob", kind="reset", at=150_000),
    Fault(route="blob", kind="status", status=429),
    Fault(route="blob", kind="status", status=500),
    Fault(route="blob", kind="status", status=404),
    Fault(route="blob", kind="status", status=403),
]


def name_of(fault: Fault) -> str:
    place = "" if fault.at is None else f" at {fault.at}"
    return f"{fault.kind}{place}" + (f" {fault.status}" if fault.status else "")


@pytest.fixture
def timeouts() -> Timeouts:
    """Long enough for none to end, unless a test is about that."""
    return PATIENT


@pytest.fixture
async def real(
    tmp_path: Path, hub: SimulatedHub, clock: SettableClock, timeouts: Timeouts
) -> AsyncIterator[Workbench]:
    """A use case over a real connection to a simulated registry."""
    hub.push_blob(NAME, LAYER)
    hub.push_blob(NAME, b"another blob")
    settings = UpstreamSettings(HUB, hub.url, (hub.token_host,), timeouts=timeouts)
    upstream = HttpUpstream(settings, clock, lambda: 0.5, no_sleep)
    bench = set_up(disk_ground(tmp_path / "data", clock), {HUB: upstream})
    yield bench
    await bench.close()
    await upstream.close()


async def no_sleep(_seconds: float) -> None:
    await asyncio.sleep(0)


async def announce(bench: Workbench) -> None:
    """A manifest says how long the blob is."""
    layer = Descriptor(OCI_LAYER_GZIP, DIGEST, SIZE)
    manifest = Descriptor(OCI_MANIFEST, digest_of(b"manifest"), 8)
    references = References((), (layer,), None)
    await bench.facts.put_manifest(NGINX, manifest, references, bench.clock.now())


async def attempt(bench: Workbench, part: tuple[int, int]) -> bool:
    """Whether the range came whole; then it is right."""
    try:
        reading = await begin(bench.blobs, MIRROR, DIGEST, part)
        content = await reading.complete()
    except (FillFailed, OCIError):
        return False
    assert content == LAYER[part[0] : part[1]]
    return True


def copy_of(fault: Fault, times: int | None) -> Fault:
    return Fault(route=fault.route, kind=fault.kind, at=fault.at, status=fault.status, times=times)


@pytest.mark.parametrize("is_announced", [True, False], ids=["announced", "unannounced"])
@pytest.mark.parametrize("times", [1, None], ids=["once", "always"])
@pytest.mark.parametrize("fault", LENGTH_LIES + OTHER_LIES, ids=name_of)
async def test_what_comes_whole_is_right(
    hub: SimulatedHub,
    real: Workbench,
    clock: SettableClock,
    fault: Fault,
    times: int | None,
    *,
    is_announced: bool,
) -> None:
    if is_announced:
        await announce(real)
    planned = hub.faults.add(copy_of(fault, times))
    readers = [*PARTS, (0, SIZE), (0, SIZE)]
    whole = await asyncio.gather(*[attempt(real, part) for part in readers if part[1] <= SIZE])
    await fills_ended()
    stored = real.store.open(DIGEST)
    if stored is not None:
        assert stored.size == SIZE
        stored.close()
    assert hub.count("blob", "GET") <= 30
    if not any(whole):
        assert hub.faults.hits(planned) > 0 or fault.kind == "wrong_content_range"
    hub.faults.clear()
    await heals(real, clock)


async def heals(bench: Workbench, clock: SettableClock) -> None:
    """At the second try at the latest, once the upstream is well and asked again."""
    for _ in range(2):
        clock.advance(LONG)
        if await attempt(bench, (0, SIZE)):
            break
    await fills_ended()
    assert await fetch(bench.blobs, MIRROR, DIGEST) == LAYER
    await fills_ended()
    assert bench.has(DIGEST)


async def test_a_lie_about_nothing_at_all_is_not_believed(
    hub: SimulatedHub, real: Workbench
) -> None:
    hub.faults.add(Fault(route="blob", kind="truncate", at=0))
    with pytest.raises(OCIError):
        await real.blobs.get(MIRROR, DIGEST)


@pytest.mark.parametrize("ranges", [True, False], ids=["ranges", "no ranges"])
@pytest.mark.parametrize("timeouts", [TIRED_OF_BODIES], ids=["soon"])
@pytest.mark.parametrize("kind", ["close", "reset", "stall"])
async def test_a_break_is_bridged(
    hub: SimulatedHub, real: Workbench, kind: str, *, ranges: bool
) -> None:
    hub.ranges = ranges
    assert kind in {"close", "reset", "stall"}
    hub.faults.add(Fault(route="blob", kind=kind, at=100_000, times=1))  # type: ignore[arg-type]  # checked above
    hub.faults.add(Fault(route="blob", kind="close", at=50_000, times=1))
    assert await fetch(real.blobs, MIRROR, DIGEST) == LAYER
    first, *resumed = [
        request.headers.get("Range") for request in hub.find("blob", "GET", status=200)
    ] + [request.headers.get("Range") for request in hub.find("blob", "GET", status=206)]
    assert first is None
    assert resumed
    assert all(each is not None and each.startswith("bytes=") for each in resumed)


async def test_a_herd_is_one_download_and_one_token(hub: SimulatedHub, real: Workbench) -> None:
    contents = await asyncio.gather(*[fetch(real.blobs, MIRROR, DIGEST) for _ in range(200)])
    assert set(contents) == {LAYER}
    assert hub.count("blob", "GET", status=200) == 1
    assert hub.count("token") == 1


async def test_a_break_with_a_herd_is_one_more_request(hub: SimulatedHub, real: Workbench) -> None:
    hub.faults.add(Fault(route="blob", kind="reset", at=100_000, times=1))
    contents = await asyncio.gather(*[fetch(real.blobs, MIRROR, DIGEST) for _ in range(100)])
    assert set(contents) == {LAYER}
    assert hub.count("blob", "GET", status=200) == 1
    assert hub.count("blob", "GET", status=206) == 1


@pytest.mark.parametrize("timeouts", [TIRED_OF_HEADERS], ids=["soon"])
async def test_nobody_waits_for_a_blob_that_never_begins(
    hub: SimulatedHub, real: Workbench
) -> None:
    hub.faults.add(Fault(route="blob", kind="stall"))
    with pytest.raises(OCIError):
        await asyncio.wait_for(real.blobs.get(MIRROR, DIGEST), 30)
