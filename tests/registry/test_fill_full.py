"""A store that takes no more costs the copy, never the pull, and never the check."""

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from mirror.metadata.memory import MemoryMetadata
from mirror.oci.digest import Digest, digest_of
from mirror.oci.errors import BlobUnknown
from mirror.ports.upstream import UpstreamInvalid, UpstreamUnreachable
from mirror.registry.follow import RESUMES, WITHHELD, FillFailed
from mirror.registry.room import Limits
from tests.registry.quota_store import QuotaStore
from tests.registry.reading import begin, fetch, must_be_open
from tests.registry.scripted_upstream import ScriptedUpstream
from tests.registry.workbench import (
    HUB,
    MIRROR,
    NAME,
    Ground,
    Habits,
    Workbench,
    disk_ground,
    fills_ended,
    memory_ground,
    set_up,
    settle,
)
from tests.simulated_hub import blob
from tests.world import SettableClock

SIZE = 400_000
LAYER = blob("layer", SIZE)
DIGEST = digest_of(LAYER)
SHA512 = digest_of(LAYER, "sha512")
HALF = 200_000
TINY = Limits(max_size=SIZE - 1, low_size=0, min_free=0)
NO_SPACE = Limits(max_size=1 << 30, low_size=0, min_free=1 << 50)


class Make(Protocol):
    """Makes a workbench whose store will be full, in one way or another."""

    __name__: str

    def __call__(self, folder: Path, upstream: ScriptedUpstream, /) -> Workbench: ...


def full_at(name: str) -> Callable[[str], None]:
    """A disk that is full at this step, every time."""

    def checkpoint(reached: str) -> None:
        if reached == name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return checkpoint


def larger_than_the_cache(_folder: Path, upstream: ScriptedUpstream) -> Workbench:
    return set_up(memory_ground(), {HUB: upstream}, Habits(limits=TINY))


def no_space_to_be_made(_folder: Path, upstream: ScriptedUpstream) -> Workbench:
    return set_up(memory_ground(), {HUB: upstream}, Habits(limits=NO_SPACE))


def full_when_begun(folder: Path, upstream: ScriptedUpstream) -> Workbench:
    return set_up(disk_ground(folder, checkpoint=full_at("ingest.created")), {HUB: upstream})


def full_at_the_first_byte(_folder: Path, upstream: ScriptedUpstream) -> Workbench:
    return of_a_quota(0, upstream)


def full_half_way(_folder: Path, upstream: ScriptedUpstream) -> Workbench:
    return of_a_quota(HALF, upstream)


def full_near_the_end(_folder: Path, upstream: ScriptedUpstream) -> Workbench:
    return of_a_quota(SIZE - 1, upstream)


def of_a_quota(quota: int, upstream: ScriptedUpstream) -> Workbench:
    clock = SettableClock()
    return set_up(Ground(clock, QuotaStore(clock, quota), MemoryMetadata()), {HUB: upstream})


AT_ONCE: list[Make] = [larger_than_the_cache, no_space_to_be_made, full_when_begun]
DURING: list[Make] = [full_at_the_first_byte, full_half_way, full_near_the_end]
every_way = pytest.mark.parametrize("make", AT_ONCE + DURING, ids=lambda make: make.__name__)


@every_way
@pytest.mark.parametrize("digest", [DIGEST, SHA512], ids=["sha256", "sha512"])
@pytest.mark.parametrize("part", [(0, SIZE), (100, 300_000), (300_000, SIZE), (5, 6)])
async def test_every_range_is_served_all_the_same(
    tmp_path: Path,
    hub_upstream: ScriptedUpstream,
    make: Make,
    digest: Digest,
    part: tuple[int, int],
) -> None:
    hub_upstream.put_blob(NAME, digest, LAYER)
    bench = make(tmp_path, hub_upstream)
    reading = await begin(bench.blobs, MIRROR, digest, part)
    assert await reading.complete() == LAYER[part[0] : part[1]]
    await fills_ended()
    assert not bench.has(digest)
    await bench.close()


@every_way
async def test_twenty_clients_are_served_all_the_same(
    tmp_path: Path, hub_upstream: ScriptedUpstream, make: Make
) -> None:
    hub_upstream.put_blob(NAME, DIGEST, LAYER)
    bench = make(tmp_path, hub_upstream)
    contents = await asyncio.gather(*[fetch(bench.blobs, MIRROR, DIGEST) for _ in range(20)])
    assert set(contents) == {LAYER}
    await bench.close()


@pytest.mark.parametrize("make", AT_ONCE, ids=lambda make: make.__name__)
async def test_an_answer_says_that_nothing_is_kept(
    tmp_path: Path, hub_upstream: ScriptedUpstream, make: Make
) -> None:
    hub_upstream.put_blob(NAME, DIGEST, LAYER)
    bench = make(tmp_path, hub_upstream)
    answer = await bench.blobs.get(MIRROR, DIGEST)
    assert not answer.handling.stored
    must_be_open(answer).close()
    await bench.close()


@every_way
@pytest.mark.parametrize("part", [(0, SIZE), (0, 100_000), (5, 6), (SIZE - 5, SIZE)])
@pytest.mark.parametrize("digest", [DIGEST, SHA512], ids=["sha256", "sha512"])
async def test_a_corrupt_body_is_never_complete(
    tmp_path: Path,
    hub_upstream: ScriptedUpstream,
    make: Make,
    part: tuple[int, int],
    digest: Digest,
) -> None:
    wrong = bytearray(LAYER)
    wrong[SIZE - 100] ^= 1
    hub_upstream.put_blob(NAME, digest, bytes(wrong))
    bench = make(tmp_path, hub_upstream)
    reading = await begin(bench.blobs, MIRROR, digest, part)
    error = await reading.broken()
    assert isinstance(error, FillFailed)
    assert isinstance(error.error, UpstreamInvalid)
    await bench.close()


@pytest.mark.parametrize("make", DURING, ids=lambda make: make.__name__)
async def test_the_end_waits_for_the_digest(
    tmp_path: Path, hub_upstream: ScriptedUpstream, make: Make
) -> None:
    hub_upstream.put_blob(NAME, DIGEST, LAYER)
    hub_upstream.by_hand.add(DIGEST)
    bench = make(tmp_path, hub_upstream)
    client = asyncio.create_task(begin(bench.blobs, MIRROR, DIGEST, (0, 300_000)))
    tap = await hub_upstream.next_tap()
    for _ in range(4):
        tap.let(SIZE // 4)
    reading = await client
    tap = await hub_upstream.next_tap()
    stored = {"full_at_the_first_byte": 0, "full_half_way": HALF, "full_near_the_end": 300_000}
    assert tap.asked.start == stored[make.__name__]
    tap.let(SIZE)
    await reading.until(300_000 - WITHHELD)
    await settle()
    assert len(reading.received) == 300_000 - WITHHELD
    tap.end()
    assert await reading.complete() == LAYER[:300_000]
    await bench.close()


async def test_what_passes_through_breaks_off_and_goes_on_too(
    tmp_path: Path, hub_upstream: ScriptedUpstream
) -> None:
    hub_upstream.put_blob(NAME, DIGEST, LAYER)
    bench = full_at_the_first_byte(tmp_path, hub_upstream)
    hub_upstream.by_hand.add(DIGEST)
    client = asyncio.create_task(begin(bench.blobs, MIRROR, DIGEST))
    (await hub_upstream.next_tap()).let(10)
    reading = await client
    tap = await hub_upstream.next_tap()
    tap.let(100_000)
    tap.fail(UpstreamUnreachable("broke"))
    tap = await hub_upstream.next_tap()
    assert tap.asked.start == 100_000
    tap.let(100_000)
    tap.end()
    tap = await hub_upstream.next_tap()
    assert tap.asked.start == 200_000
    tap.let_rest()
    assert await reading.complete() == LAYER
    await bench.close()


async def test_what_passes_through_gives_up_in_the_end(
    tmp_path: Path, hub_upstream: ScriptedUpstream
) -> None:
    hub_upstream.put_blob(NAME, DIGEST, LAYER)
    bench = full_at_the_first_byte(tmp_path, hub_upstream)
    hub_upstream.by_hand.add(DIGEST)
    client = asyncio.create_task(begin(bench.blobs, MIRROR, DIGEST))
    (await hub_upstream.next_tap()).let(10)
    reading = await client
    for _ in range(RESUMES + 1):
        (await hub_upstream.next_tap()).fail(UpstreamUnreachable("broke"))
    error = await reading.broken()
    assert isinstance(error, FillFailed)
    assert bench.pauses == [1, 2, 3, 4, 5]
    await bench.close()


async def test_what_passes_through_and_disappears(
    tmp_path: Path, hub_upstream: ScriptedUpstream
) -> None:
    hub_upstream.put_blob(NAME, DIGEST, LAYER)
    bench = full_at_the_first_byte(tmp_path, hub_upstream)
    reading = await begin(bench.blobs, MIRROR, DIGEST, paused=True)
    del hub_upstream.blobs[NAME, DIGEST]
    reading.go_on()
    await reading.broken()
    await bench.close()


async def test_a_client_that_leaves_ends_its_own_download(
    tmp_path: Path, hub_upstream: ScriptedUpstream
) -> None:
    hub_upstream.put_blob(NAME, DIGEST, LAYER)
    bench = full_at_the_first_byte(tmp_path, hub_upstream)
    hub_upstream.by_hand.add(DIGEST)
    client = asyncio.create_task(begin(bench.blobs, MIRROR, DIGEST))
    (await hub_upstream.next_tap()).let(10)
    reading = await client
    tap = await hub_upstream.next_tap()
    tap.let(100_000)
    await reading.until(100_000)
    await reading.leave()
    assert not tap.is_open
    assert hub_upstream.open_downloads == 0
    await bench.close()


async def test_a_slow_client_that_leaves_ends_its_own_download_too(
    tmp_path: Path, hub_upstream: ScriptedUpstream
) -> None:
    hub_upstream.put_blob(NAME, DIGEST, LAYER)
    bench = full_at_the_first_byte(tmp_path, hub_upstream)
    hub_upstream.by_hand.add(DIGEST)
    answer_comes = asyncio.create_task(bench.blobs.get(MIRROR, DIGEST))
    (await hub_upstream.next_tap()).let(10)
    answer = await answer_comes
    assert answer.blob is not None
    pieces = answer.blob.pieces(0, SIZE)
    first = asyncio.ensure_future(anext(pieces))
    tap = await hub_upstream.next_tap()
    tap.let(100_000)
    assert await first == LAYER[:100_000]
    await pieces.aclose()  # type: ignore[attr-defined]  # it is a generator that waits in a yield
    assert not tap.is_open
    answer.blob.close()
    await bench.close()


@pytest.mark.parametrize("digest", [DIGEST, SHA512], ids=["sha256", "sha512"])
async def test_full_when_it_is_published(
    tmp_path: Path, hub_upstream: ScriptedUpstream, digest: Digest
) -> None:
    hub_upstream.put_blob(NAME, digest, LAYER)
    ground = disk_ground(tmp_path, checkpoint=full_at("publish.verified"))
    bench = set_up(ground, {HUB: hub_upstream})
    assert await fetch(bench.blobs, MIRROR, digest) == LAYER
    await fills_ended()
    assert not bench.has(digest)
    assert await bench.facts.get_stored(digest) is None, "nothing is recorded before it is there"
    await bench.close()
    later = set_up(disk_ground(tmp_path), {HUB: hub_upstream})
    assert await fetch(later.blobs, MIRROR, digest) == LAYER
    await fills_ended()
    assert later.has(digest)
    assert hub_upstream.count("blob") == 1, "every byte was kept"
    await later.close()


async def test_with_neither_room_nor_a_length_it_is_refused(
    tmp_path: Path, hub_upstream: ScriptedUpstream
) -> None:
    hub_upstream.put_blob(NAME, DIGEST, LAYER)
    hub_upstream.announced[DIGEST] = None
    hub_upstream.trouble["head"] = UpstreamInvalid("no length")
    bench = full_half_way(tmp_path, hub_upstream)
    with pytest.raises(BlobUnknown, match="no length"):
        await bench.blobs.get(MIRROR, DIGEST)
    await bench.close()


@pytest.mark.parametrize("size", [0, None])
async def test_full_and_empty(
    tmp_path: Path, hub_upstream: ScriptedUpstream, size: int | None
) -> None:
    hub_upstream.put_blob(NAME, DIGEST, b"")
    empty = digest_of(b"")
    hub_upstream.put_blob(NAME, empty, b"")
    hub_upstream.announced[DIGEST] = size
    bench = full_when_begun(tmp_path, hub_upstream)
    with pytest.raises(BlobUnknown):
        await bench.blobs.get(MIRROR, DIGEST)
    assert await fetch(bench.blobs, MIRROR, empty) == b""
    await bench.close()


async def test_full_and_absent(tmp_path: Path, hub_upstream: ScriptedUpstream) -> None:
    bench = full_when_begun(tmp_path, hub_upstream)
    with pytest.raises(BlobUnknown):
        await bench.blobs.get(MIRROR, DIGEST)
    await bench.close()


async def test_full_and_out_of_reach(tmp_path: Path, hub_upstream: ScriptedUpstream) -> None:
    hub_upstream.put_blob(NAME, DIGEST, LAYER)
    hub_upstream.trouble["head"] = UpstreamUnreachable("no answer")
    bench = full_when_begun(tmp_path, hub_upstream)
    with pytest.raises(BlobUnknown, match="no answer"):
        await bench.blobs.get(MIRROR, DIGEST)
    await bench.close()


async def test_when_there_is_room_again_it_is_kept(
    tmp_path: Path, hub_upstream: ScriptedUpstream
) -> None:
    hub_upstream.put_blob(NAME, DIGEST, LAYER)
    bench = full_when_begun(tmp_path, hub_upstream)
    assert await fetch(bench.blobs, MIRROR, DIGEST) == LAYER
    await bench.close()
    later = set_up(disk_ground(tmp_path), {HUB: hub_upstream})
    assert await fetch(later.blobs, MIRROR, DIGEST) == LAYER
    await fills_ended()
    assert later.has(DIGEST)
    await later.close()
