"""The end is for those whose digest matched: nobody gets the last byte of anything else."""

import asyncio
from pathlib import Path

import pytest

from mirror.oci.digest import Digest, digest_of
from mirror.oci.errors import BlobUnknown, UpstreamFault
from mirror.ports.upstream import UpstreamInvalid
from mirror.registry.follow import WITHHELD, FillFailed
from tests.registry.one_layer import DIGEST, LAYER, SIZE
from tests.registry.reading import begin, fetch
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
    bench: Workbench, hub_upstream: ScriptedUpstream, tapped: Digest, part: tuple[int, int]
) -> None:
    start, stop = part
    client = asyncio.create_task(begin(bench.blobs, MIRROR, tapped, part))
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
    tapped: Digest,
    part: tuple[int, int],
    wrong_at: int,
) -> None:
    wrong = bytearray(LAYER)
    wrong[wrong_at] ^= 1
    client = asyncio.create_task(begin(bench.blobs, MIRROR, tapped, part))
    tap = await hub_upstream.next_tap()
    reading = await client
    late = await begin(bench.blobs, MIRROR, tapped)
    tap.send(bytes(wrong))
    tap.end()
    for error in (await reading.broken(), await late.broken()):
        assert isinstance(error, FillFailed)
        assert isinstance(error.error, UpstreamInvalid)
    await fills_ended()
    assert not bench.has(tapped)
    hub_upstream.by_hand.clear()
    assert await fetch(bench.blobs, MIRROR, tapped) == LAYER


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
    bench: Workbench, hub_upstream: ScriptedUpstream, tapped: Digest
) -> None:
    client = asyncio.create_task(begin(bench.blobs, MIRROR, tapped, paused=True))
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
