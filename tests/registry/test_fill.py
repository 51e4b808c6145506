"""One download for everybody: what readers get while it runs, and when they get the end."""

import asyncio
from pathlib import Path

import pytest

from mirror.oci.digest import Digest, digest_of
from mirror.oci.errors import BlobUnknown, OCIError, TooManyRequests, UpstreamFault
from mirror.ports.upstream import UpstreamInvalid, UpstreamThrottled, UpstreamUnreachable
from mirror.registry.fill import MOST_UNANNOUNCED
from mirror.registry.follow import WITHHELD, FillFailed
from mirror.registry.routing import Approach, Route
from mirror.registry.statistics import Result
from tests.registry.conftest import open_files
from tests.registry.reading import Reading, begin, fetch, must_be_open
from tests.registry.scripted_upstream import ScriptedUpstream
from tests.registry.workbench import (
    DIRECT,
    HUB,
    MIRROR,
    NAME,
    Workbench,
    disk_ground,
    fills_ended,
    names_in,
    set_up,
    settle,
)
from tests.simulated_hub import blob

SIZE = 200_000
LAYER = blob("layer", SIZE)
DIGEST = digest_of(LAYER)
EMPTY = digest_of(b"")


@pytest.fixture
def layer(hub_upstream: ScriptedUpstream) -> Digest:
    """In the upstream, and let out of it by hand."""
    hub_upstream.put_blob(NAME, DIGEST, LAYER)
    hub_upstream.by_hand.add(DIGEST)
    return DIGEST


async def asking(
    bench: Workbench, digest: Digest, route: Route = MIRROR
) -> "asyncio.Task[Reading]":
    """A client that waits for its first byte."""
    task = asyncio.create_task(begin(bench.blobs, route, digest))
    await settle()
    return task


async def test_the_first_bytes_come_while_the_upstream_still_sends(
    bench: Workbench, hub_upstream: ScriptedUpstream, layer: Digest
) -> None:
    client = await asking(bench, layer)
    tap = await hub_upstream.next_tap()
    tap.let(50_000)
    reading = await client
    await reading.until(50_000)
    assert bytes(reading.received) == LAYER[:50_000]
    tap.let_rest()
    assert await reading.complete() == LAYER
    await fills_ended()
    assert bench.has(layer)


async def test_an_answer_says_what_it_is_before_the_bytes_come(
    bench: Workbench, hub_upstream: ScriptedUpstream, layer: Digest
) -> None:
    asked = asyncio.create_task(bench.blobs.get(MIRROR, layer))
    tap = await hub_upstream.next_tap()
    answer = await asked
    assert (answer.size, answer.digest, answer.repository) == (SIZE, layer, MIRROR.repository)
    assert answer.handling.result is Result.MISS
    assert answer.handling.stored
    must_be_open(answer).close()
    tap.let_rest()
    await fills_ended()


async def test_who_comes_late_begins_at_the_first_byte(
    bench: Workbench, hub_upstream: ScriptedUpstream, layer: Digest
) -> None:
    client = await asking(bench, layer)
    tap = await hub_upstream.next_tap()
    tap.let(150_000)
    first = await client
    await first.until(150_000)
    late = await begin(bench.blobs, MIRROR, layer)
    await late.until(150_000)
    tap.let_rest()
    assert await late.complete() == await first.complete() == LAYER
    assert hub_upstream.count("blob") == 1


async def test_two_hundred_clients_are_one_download(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    hub_upstream.put_blob(NAME, DIGEST, LAYER)
    contents = await asyncio.gather(*[fetch(bench.blobs, MIRROR, DIGEST) for _ in range(200)])
    assert set(contents) == {LAYER}
    assert hub_upstream.count("blob") == 1
    await fills_ended()
    assert await fetch(bench.blobs, MIRROR, DIGEST) == LAYER
    assert hub_upstream.count("blob") == 1
    assert bench.statistics.total("bytes_from_upstream") == SIZE


@pytest.mark.parametrize(
    "part",
    [
        (0, SIZE),
        (10_000, 90_000),
        (0, WITHHELD + 1),
        (0, WITHHELD),
        (500, 501),
        (SIZE - 1, SIZE),
        (150_000, SIZE),
    ],
)
async def test_the_end_of_every_range_waits_for_the_digest(
    bench: Workbench, hub_upstream: ScriptedUpstream, layer: Digest, part: tuple[int, int]
) -> None:
    start, stop = part
    client = asyncio.create_task(begin(bench.blobs, MIRROR, layer, part))
    tap = await hub_upstream.next_tap()
    tap.let(SIZE)
    reading = await client
    before_the_end = max(stop - start - WITHHELD, 0)
    await reading.until(before_the_end)
    await settle()
    assert len(reading.received) == before_the_end
    tap.end()
    assert await reading.complete() == LAYER[start:stop]


@pytest.mark.parametrize(
    "part", [(0, SIZE), (0, 100_000), (10, 20), (SIZE - 10, SIZE), (0, SIZE - 1)]
)
@pytest.mark.parametrize("wrong_at", [0, 100_000, SIZE - 1])
async def test_of_a_corrupt_body_nobody_gets_the_last_byte(
    bench: Workbench,
    hub_upstream: ScriptedUpstream,
    layer: Digest,
    part: tuple[int, int],
    wrong_at: int,
) -> None:
    wrong = bytearray(LAYER)
    wrong[wrong_at] ^= 1
    client = asyncio.create_task(begin(bench.blobs, MIRROR, layer, part))
    tap = await hub_upstream.next_tap()
    reading = await client
    late = await begin(bench.blobs, MIRROR, layer)
    tap.send(bytes(wrong))
    tap.end()
    for error in (await reading.broken(), await late.broken()):
        assert isinstance(error, FillFailed)
        assert isinstance(error.error, UpstreamInvalid)
    await fills_ended()
    assert not bench.has(layer)
    hub_upstream.by_hand.clear()
    assert await fetch(bench.blobs, MIRROR, layer) == LAYER


async def test_what_was_corrupt_is_kept_for_the_operator(
    tmp_path: Path, hub_upstream: ScriptedUpstream
) -> None:
    bench = set_up(disk_ground(tmp_path), {HUB: hub_upstream})
    hub_upstream.put_blob(NAME, DIGEST, b"x" * SIZE)
    with pytest.raises(FillFailed):
        await fetch(bench.blobs, MIRROR, DIGEST)
    await fills_ended()
    actual = digest_of(b"x" * SIZE)
    assert names_in(tmp_path / "quarantine") == [f"{actual.encoded}.1", f"{actual.encoded}.1.json"]
    assert names_in(tmp_path / "ingest") == []


async def test_known_corruption_is_not_sent_on_to_who_is_behind(
    bench: Workbench, hub_upstream: ScriptedUpstream, layer: Digest
) -> None:
    client = asyncio.create_task(begin(bench.blobs, MIRROR, layer, paused=True))
    tap = await hub_upstream.next_tap()
    reading = await client
    tap.send(b"x" * SIZE)
    tap.end()
    await fills_ended()
    reading.go_on()
    await reading.broken()
    assert reading.received == b""


@pytest.mark.parametrize("size", [1, 1000, WITHHELD])
async def test_a_small_corrupt_blob_is_refused_before_anything_is_sent(
    bench: Workbench, hub_upstream: ScriptedUpstream, size: int
) -> None:
    content = blob("small", size)
    digest = digest_of(content)
    hub_upstream.put_blob(NAME, digest, b"x" * size)
    with pytest.raises(BlobUnknown, match="other bytes"):
        await bench.blobs.get(MIRROR, digest)
    with pytest.raises(UpstreamFault, match="other bytes"):
        await bench.blobs.get(DIRECT, digest)
    assert not bench.has(digest)


async def test_an_empty_answer_for_what_is_not_empty_is_refused(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    # An empty body has no end to withhold: complete is what it would be.
    hub_upstream.put_blob(NAME, DIGEST, b"")
    with pytest.raises(BlobUnknown):
        await bench.blobs.get(MIRROR, DIGEST)
    assert not bench.has(DIGEST)


async def test_an_empty_blob_is_served_and_stored(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    hub_upstream.put_blob(NAME, EMPTY, b"")
    assert await fetch(bench.blobs, MIRROR, EMPTY) == b""
    await fills_ended()
    assert await fetch(bench.blobs, MIRROR, EMPTY) == b""
    assert hub_upstream.count("blob") == 1


async def test_a_sha512_blob_is_served_and_stored(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    digest = digest_of(LAYER, "sha512")
    hub_upstream.put_blob(NAME, digest, LAYER)
    assert await fetch(bench.blobs, MIRROR, digest) == LAYER
    await fills_ended()
    assert bench.has(digest)
    other = digest_of(b"y" * SIZE, "sha512")
    hub_upstream.put_blob(NAME, other, LAYER)
    with pytest.raises(FillFailed):
        await fetch(bench.blobs, MIRROR, other)
    await fills_ended()
    assert not bench.has(other)


async def test_a_client_that_leaves_costs_the_others_nothing(
    bench: Workbench, hub_upstream: ScriptedUpstream, layer: Digest
) -> None:
    client = await asking(bench, layer)
    tap = await hub_upstream.next_tap()
    tap.let(50_000)
    leader = await client
    follower = await begin(bench.blobs, MIRROR, layer)
    await leader.until(50_000)
    await leader.leave()
    tap.let_rest()
    assert await follower.complete() == LAYER
    assert hub_upstream.count("blob") == 1


async def test_a_download_goes_on_when_everybody_has_left(
    bench: Workbench, hub_upstream: ScriptedUpstream, layer: Digest
) -> None:
    client = await asking(bench, layer)
    tap = await hub_upstream.next_tap()
    tap.let(50_000)
    reading = await client
    await reading.until(50_000)
    await reading.leave()
    await settle()
    assert tap.is_open
    tap.let_rest()
    await fills_ended()
    assert await fetch(bench.blobs, MIRROR, layer) == LAYER
    assert hub_upstream.count("blob") == 1


async def test_a_download_goes_on_when_the_client_left_before_it_was_answered(
    bench: Workbench, hub_upstream: ScriptedUpstream, layer: Digest
) -> None:
    with hub_upstream.silent("blob"):
        client = await asking(bench, layer)
        client.cancel()
        await asyncio.wait({client})
    tap = await hub_upstream.next_tap()
    tap.let_rest()
    await fills_ended()
    assert bench.has(layer)


async def test_a_slow_reader_slows_nobody(
    bench: Workbench, hub_upstream: ScriptedUpstream, layer: Digest
) -> None:
    client = asyncio.create_task(begin(bench.blobs, MIRROR, layer, paused=True))
    tap = await hub_upstream.next_tap()
    slow = await client
    quick = await begin(bench.blobs, MIRROR, layer)
    tap.let_rest()
    assert await quick.complete() == LAYER
    await fills_ended()
    assert bench.has(layer)
    assert slow.received == b""
    slow.go_on()
    assert await slow.complete() == LAYER


async def test_the_file_is_let_go_when_the_last_reader_leaves(
    tmp_path: Path, hub_upstream: ScriptedUpstream, layer: Digest
) -> None:
    bench = set_up(disk_ground(tmp_path), {HUB: hub_upstream})
    client = asyncio.create_task(begin(bench.blobs, MIRROR, layer, paused=True))
    tap = await hub_upstream.next_tap()
    slow = await client
    quick = await begin(bench.blobs, MIRROR, layer)
    tap.let_rest()
    await quick.complete()
    await fills_ended()
    assert len(open_below(tmp_path)) == 1
    slow.go_on()
    assert await slow.complete() == LAYER
    assert open_below(tmp_path) == []


async def test_the_file_is_let_go_at_the_end_when_nobody_reads(
    tmp_path: Path, hub_upstream: ScriptedUpstream, layer: Digest
) -> None:
    bench = set_up(disk_ground(tmp_path), {HUB: hub_upstream})
    client = await asking(bench, layer)
    tap = await hub_upstream.next_tap()
    reading = await client
    await reading.leave()
    assert open_below(tmp_path) != []
    tap.let_rest()
    await fills_ended()
    assert open_below(tmp_path) == []


def open_below(folder: Path) -> list[str]:
    return [target for target in open_files() if target.startswith(str(folder))]


@pytest.mark.parametrize("approach", Approach)
async def test_what_the_upstream_does_not_have(
    tmp_path: Path, hub_upstream: ScriptedUpstream, approach: Approach
) -> None:
    bench = set_up(disk_ground(tmp_path), {HUB: hub_upstream})
    results = await asyncio.gather(
        *[bench.blobs.get(Route(MIRROR.repository, approach), DIGEST) for _ in range(20)],
        return_exceptions=True,
    )
    assert {type(result) for result in results} == {BlobUnknown}
    assert hub_upstream.count("blob") == 1
    await fills_ended()
    assert names_in(tmp_path / "ingest") == []


@pytest.mark.parametrize(("route", "kind"), [(MIRROR, BlobUnknown), (DIRECT, TooManyRequests)])
async def test_an_upstream_in_trouble_is_told_as_the_client_needs_it(
    bench: Workbench, hub_upstream: ScriptedUpstream, route: Route, kind: type[OCIError]
) -> None:
    hub_upstream.put_blob(NAME, DIGEST, LAYER)
    hub_upstream.trouble["blob"] = UpstreamThrottled("too many", 7)
    with pytest.raises(kind, match="too many"):
        await bench.blobs.get(route, DIGEST)
    assert bench.pauses == [], "whom the upstream does not answer at all is not kept waiting"
    hub_upstream.trouble.clear()
    assert await fetch(bench.blobs, route, DIGEST) == LAYER


async def test_a_length_that_the_answer_lacks_is_asked_for(
    bench: Workbench, hub_upstream: ScriptedUpstream, layer: Digest
) -> None:
    hub_upstream.announced[layer] = None
    client = await asking(bench, layer)
    tap = await hub_upstream.next_tap()
    tap.let(50_000)
    reading = await client
    await reading.until(50_000)
    tap.let_rest()
    assert await reading.complete() == LAYER
    assert hub_upstream.count("head") == 1


@pytest.fixture
def unmeasured(hub_upstream: ScriptedUpstream, layer: Digest) -> Digest:
    """A blob whose length nobody tells."""
    hub_upstream.announced[layer] = None
    hub_upstream.trouble["head"] = UpstreamInvalid("no length")
    return layer


async def test_without_a_length_readers_wait_for_the_end(
    bench: Workbench, hub_upstream: ScriptedUpstream, unmeasured: Digest
) -> None:
    client = await asking(bench, unmeasured)
    tap = await hub_upstream.next_tap()
    tap.let(SIZE)
    await settle()
    assert not client.done()
    tap.end()
    reading = await client
    assert await reading.complete() == LAYER
    await fills_ended()
    assert bench.has(unmeasured)


async def test_without_a_length_a_wrong_body_is_refused(
    bench: Workbench, hub_upstream: ScriptedUpstream, unmeasured: Digest
) -> None:
    client = await asking(bench, unmeasured)
    tap = await hub_upstream.next_tap()
    tap.let(SIZE - 1)
    tap.end()
    with pytest.raises(BlobUnknown):
        await client
    await fills_ended()
    assert not bench.has(unmeasured)


async def test_without_a_length_it_is_not_read_for_ever(
    tmp_path: Path, hub_upstream: ScriptedUpstream, unmeasured: Digest
) -> None:
    bench = set_up(disk_ground(tmp_path), {HUB: hub_upstream})
    client = await asking(bench, unmeasured)
    tap = await hub_upstream.next_tap()
    step = bytes(MOST_UNANNOUNCED // 8)
    for _ in range(9):
        tap.send(step)
    with pytest.raises(BlobUnknown, match="how much more"):
        await client
    await fills_ended()
    assert names_in(tmp_path / "ingest") == []


async def test_stopping_keeps_what_was_written(
    tmp_path: Path, hub_upstream: ScriptedUpstream, layer: Digest
) -> None:
    bench = set_up(disk_ground(tmp_path), {HUB: hub_upstream})
    client = await asking(bench, layer)
    tap = await hub_upstream.next_tap()
    tap.let(50_000)
    reading = await client
    await reading.until(50_000)
    await bench.close()
    error = await reading.broken()
    assert isinstance(error, FillFailed)
    assert isinstance(error.error, UpstreamUnreachable)
    (kept,) = (tmp_path / "ingest").iterdir()
    assert kept.read_bytes() == LAYER[:50_000]
    assert not tap.is_open
    assert bench.blobs.filling() == frozenset()


async def test_stopping_while_the_upstream_is_asked(
    bench: Workbench, hub_upstream: ScriptedUpstream, layer: Digest
) -> None:
    with hub_upstream.silent("blob"):
        client = await asking(bench, layer)
        await bench.close()
        with pytest.raises(BlobUnknown, match="stopping"):
            await client


async def test_what_is_being_downloaded_is_known(
    bench: Workbench, hub_upstream: ScriptedUpstream, layer: Digest
) -> None:
    assert not bench.blobs.is_filling(layer)
    client = await asking(bench, layer)
    assert bench.blobs.is_filling(layer)
    assert bench.blobs.filling() == {layer}
    tap = await hub_upstream.next_tap()
    tap.let_rest()
    await (await client).complete()
    await fills_ended()
    assert bench.blobs.filling() == frozenset()
