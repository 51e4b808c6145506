"""A download that breaks off goes on where it was, and only as long as that makes sense."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mirror.oci.digest import Digest, digest_of
from mirror.oci.errors import BlobUnknown
from mirror.ports.upstream import (
    UpstreamError,
    UpstreamFailed,
    UpstreamInvalid,
    UpstreamThrottled,
    UpstreamUnreachable,
)
from mirror.registry.follow import PROGRESS, RESUMES, WITHHELD, FillFailed
from tests.registry.reading import Reading, begin, fetch
from tests.registry.scripted_upstream import ScriptedUpstream
from tests.registry.workbench import (
    HUB,
    MIRROR,
    NAME,
    Workbench,
    disk_ground,
    fills_ended,
    set_up,
    settle,
)
from tests.simulated_hub import blob

SIZE = 1_000_000
LAYER = blob("layer", SIZE)
DIGEST = digest_of(LAYER)
RESET = UpstreamUnreachable("the connection broke")


@pytest.fixture(autouse=True)
def layer(hub_upstream: ScriptedUpstream) -> Digest:
    """In the upstream, and let out of it by hand."""
    hub_upstream.put_blob(NAME, DIGEST, LAYER)
    hub_upstream.by_hand.add(DIGEST)
    return DIGEST


async def begin_to_read(bench: Workbench, upstream: ScriptedUpstream, count: int) -> Reading:
    """A client that has got so many bytes when the download breaks off."""
    client = asyncio.create_task(begin(bench.blobs, MIRROR, DIGEST))
    tap = await upstream.next_tap()
    tap.let(count)
    reading = await client
    await reading.until(count)
    tap.fail(RESET)
    return reading


@pytest.mark.parametrize(
    "error",
    [RESET, UpstreamFailed("500"), UpstreamThrottled("wait", 1)],
    ids=lambda error: type(error).__name__,
)
async def test_it_goes_on_at_the_last_good_byte(
    bench: Workbench, hub_upstream: ScriptedUpstream, error: UpstreamError
) -> None:
    client = asyncio.create_task(begin(bench.blobs, MIRROR, DIGEST))
    tap = await hub_upstream.next_tap()
    tap.let(300_000)
    tap.fail(error)
    reading = await client
    for position in (300_000, 500_000, 700_000):
        tap = await hub_upstream.next_tap()
        assert (tap.asked.start, tap.asked.stop) == (position, None)
        tap.let(200_000)
        tap.fail(error)
    tap = await hub_upstream.next_tap()
    tap.let_rest()
    assert await reading.complete() == LAYER
    assert bench.pauses == [1, 1, 1, 1]
    await fills_ended()
    assert bench.has(DIGEST)
    assert bench.statistics.total("bytes_from_upstream") == SIZE


async def test_an_answer_that_ends_early_breaks_off_too(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    client = asyncio.create_task(begin(bench.blobs, MIRROR, DIGEST))
    tap = await hub_upstream.next_tap()
    tap.let(300_000)
    tap.end()
    reading = await client
    tap = await hub_upstream.next_tap()
    assert tap.asked.start == 300_000
    tap.let_rest()
    assert await reading.complete() == LAYER


async def test_it_gives_up_after_so_many_failures_without_progress(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    reading = await begin_to_read(bench, hub_upstream, 300_000)
    for _ in range(RESUMES):
        tap = await hub_upstream.next_tap()
        assert tap.asked.start == 300_000
        tap.fail(RESET)
    error = await reading.broken()
    assert isinstance(error, FillFailed)
    assert error.error is RESET
    assert bench.pauses == [1, 2, 3, 4, 5]
    assert hub_upstream.count("blob") == 1 + RESUMES


async def test_a_trickle_is_no_progress(bench: Workbench, hub_upstream: ScriptedUpstream) -> None:
    reading = await begin_to_read(bench, hub_upstream, 300_000)
    for _ in range(RESUMES):
        tap = await hub_upstream.next_tap()
        tap.let(PROGRESS - 1)
        tap.fail(RESET)
    await reading.broken()


async def test_progress_makes_up_for_failures(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    reading = await begin_to_read(bench, hub_upstream, 100_000)
    for _ in range(3):
        for _ in range(RESUMES - 1):
            (await hub_upstream.next_tap()).fail(RESET)
        tap = await hub_upstream.next_tap()
        tap.let(PROGRESS)
        tap.fail(RESET)
    (await hub_upstream.next_tap()).let_rest()
    assert await reading.complete() == LAYER
    assert max(bench.pauses) == RESUMES


async def test_an_upstream_that_cannot_be_asked_again_is_one_more_failure(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    hub_upstream.trouble["blob"] = UpstreamThrottled("not now")
    client = asyncio.create_task(begin(bench.blobs, MIRROR, DIGEST))
    with pytest.raises(BlobUnknown):
        await client
    hub_upstream.trouble.clear()
    reading = await begin_to_read(bench, hub_upstream, 300_000)
    hub_upstream.trouble["blob"] = UpstreamThrottled("not now")
    error = await reading.broken()
    assert isinstance(error, FillFailed)
    assert isinstance(error.error, UpstreamThrottled)
    assert bench.pauses == [1, 2, 3, 4, 5]


async def test_more_bytes_than_announced_end_it_at_once(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    reading = await begin_to_read(bench, hub_upstream, 300_000)
    tap = await hub_upstream.next_tap()
    tap.send(b"x" * SIZE)
    error = await reading.broken()
    assert isinstance(error, FillFailed)
    assert isinstance(error.error, UpstreamInvalid)
    await begins_at_the_first_byte(bench, hub_upstream)


async def test_a_blob_that_disappears_meanwhile(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    reading = await begin_to_read(bench, hub_upstream, 300_000)
    del hub_upstream.blobs[NAME, DIGEST]
    error = await reading.broken()
    assert isinstance(error, FillFailed)
    assert isinstance(error.error, UpstreamInvalid)
    hub_upstream.put_blob(NAME, DIGEST, LAYER)
    await begins_at_the_first_byte(bench, hub_upstream)


async def test_a_blob_of_another_size_meanwhile(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    hub_upstream.announced[DIGEST] = SIZE
    reading = await begin_to_read(bench, hub_upstream, 300_000)
    hub_upstream.announced[DIGEST] = SIZE + 1
    await reading.broken()
    assert bench.pauses == [1], "what contradicts itself is not asked again"
    hub_upstream.announced.clear()
    await begins_at_the_first_byte(bench, hub_upstream)


async def begins_at_the_first_byte(bench: Workbench, upstream: ScriptedUpstream) -> None:
    """Nothing that a liar sent is built upon."""
    await fills_ended()
    assert not bench.has(DIGEST)
    upstream.by_hand.clear()
    assert await fetch(bench.blobs, MIRROR, DIGEST) == LAYER
    assert upstream.questions("blob")[-1].start == 0


async def test_without_a_length_it_goes_on_too(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    hub_upstream.announced[DIGEST] = None
    hub_upstream.trouble["head"] = UpstreamInvalid("no length")
    client = asyncio.create_task(begin(bench.blobs, MIRROR, DIGEST))
    tap = await hub_upstream.next_tap()
    tap.let(300_000)
    tap.fail(RESET)
    tap = await hub_upstream.next_tap()
    assert tap.asked.start == 300_000
    tap.let_rest()
    assert await (await client).complete() == LAYER


async def test_after_it_gave_up_the_next_client_goes_on_where_it_was(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    reading = await begin_to_read(bench, hub_upstream, 300_000)
    hub_upstream.trouble["blob"] = RESET
    await reading.broken()
    await fills_ended()
    hub_upstream.trouble.clear()
    client = asyncio.create_task(begin(bench.blobs, MIRROR, DIGEST))
    tap = await hub_upstream.next_tap()
    assert tap.asked.start == 300_000
    tap.let_rest()
    assert await (await client).complete() == LAYER


async def test_a_slow_reader_of_a_failed_download_is_in_nobodys_way(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    slow = await begin_to_read(bench, hub_upstream, 300_000)
    slow.pause()
    hub_upstream.trouble["blob"] = RESET
    await fills_ended()
    hub_upstream.trouble.clear()
    clients = [asyncio.create_task(begin(bench.blobs, MIRROR, DIGEST)) for _ in range(10)]
    tap = await hub_upstream.next_tap()
    assert tap.asked.start == 300_000
    tap.let_rest()
    for client in clients:
        assert await (await client).complete() == LAYER
    await fills_ended()
    assert bench.has(DIGEST)
    assert hub_upstream.count("blob") == 1 + RESUMES + 1
    slow.go_on()
    await slow.broken()


async def test_whoever_comes_while_wrong_bytes_are_set_aside_gets_the_right_ones(
    tmp_path: Path, hub_upstream: ScriptedUpstream
) -> None:
    with ThreadPoolExecutor(1) as executor:
        bench = set_up(disk_ground(tmp_path, executor=executor), {HUB: hub_upstream})
        client = asyncio.create_task(begin(bench.blobs, MIRROR, DIGEST))
        tap = await hub_upstream.next_tap()
        tap.send(b"x" * SIZE)
        reading = await client
        await reading.until(SIZE - WITHHELD)
        go_on = threading.Event()
        executor.submit(go_on.wait, 30)
        tap.end()
        await reading.broken()
        late = asyncio.create_task(begin(bench.blobs, MIRROR, DIGEST))
        await settle()
        assert hub_upstream.count("blob") == 1
        go_on.set()
        (await hub_upstream.next_tap()).let_rest()
        assert await (await late).complete() == LAYER
        await fills_ended()
        assert bench.has(DIGEST)
