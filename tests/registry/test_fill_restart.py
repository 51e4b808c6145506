"""What an earlier run left behind is the beginning of the next one, if it is any good."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mirror.oci.digest import Digest, digest_of
from mirror.oci.errors import BlobUnknown
from mirror.oci.manifest import Descriptor, References
from mirror.oci.media_type import OCI_LAYER_GZIP, OCI_MANIFEST
from mirror.ports.upstream import UpstreamUnreachable
from mirror.registry.follow import FillFailed
from mirror.registry.shared_ingest import FillIngests
from tests.registry.reading import begin, fetch
from tests.registry.scripted_upstream import ScriptedUpstream
from tests.registry.workbench import (
    HUB,
    MIRROR,
    NAME,
    NGINX,
    Ground,
    Workbench,
    disk_ground,
    fills,
    fills_ended,
    names_in,
    set_up,
)
from tests.simulated_hub import blob

SIZE = 200_000
LAYER = blob("layer", SIZE)
DIGEST = digest_of(LAYER)
SHA512 = digest_of(LAYER, "sha512")
both_algorithms = pytest.mark.parametrize("digest", [DIGEST, SHA512], ids=["sha256", "sha512"])


@asynccontextmanager
async def running(root: Path, upstream: ScriptedUpstream) -> AsyncIterator[Workbench]:
    bench = set_up(disk_ground(root), {HUB: upstream})
    yield bench
    await bench.close()


async def leave_behind(root: Path, digest: Digest, content: bytes) -> None:
    """As a server does that is killed in the middle of a download."""
    ingest = await FillIngests(disk_ground(root).store).take(digest)
    await ingest.write(content)
    ingest.close()


async def announce(bench: Workbench, digest: Digest, size: int = SIZE) -> None:
    """A manifest of the repository says how long the blob is."""
    layer = Descriptor(OCI_LAYER_GZIP, digest, size)
    manifest = Descriptor(OCI_MANIFEST, digest_of(b"manifest"), 8)
    references = References((), (layer,), None)
    await bench.facts.put_manifest(NGINX, manifest, references, bench.clock.now())


async def test_a_restart_goes_on_where_the_download_was(
    tmp_path: Path, hub_upstream: ScriptedUpstream
) -> None:
    hub_upstream.put_blob(NAME, DIGEST, LAYER)
    hub_upstream.by_hand.add(DIGEST)
    async with running(tmp_path, hub_upstream) as bench:
        client = asyncio.create_task(begin(bench.blobs, MIRROR, DIGEST))
        (tap := await hub_upstream.next_tap()).let(70_000)
        reading = await client
        await reading.until(70_000)
        await reading.leave()
    assert not tap.is_open
    async with running(tmp_path, hub_upstream) as bench:
        client = asyncio.create_task(begin(bench.blobs, MIRROR, DIGEST))
        tap = await hub_upstream.next_tap()
        assert tap.asked.start == 70_000
        reading = await client
        await reading.until(70_000)
        assert bytes(reading.received) == LAYER[:70_000]
        tap.let_rest()
        assert await reading.complete() == LAYER
        await fills_ended()
        assert bench.has(DIGEST)
    assert names_in(tmp_path / "ingest") == []


async def test_a_kill_costs_nothing_that_was_written(
    tmp_path: Path, hub_upstream: ScriptedUpstream
) -> None:
    hub_upstream.put_blob(NAME, DIGEST, LAYER)
    hub_upstream.by_hand.add(DIGEST)
    async with running(tmp_path, hub_upstream) as killed:
        client = asyncio.create_task(begin(killed.blobs, MIRROR, DIGEST))
        (await hub_upstream.next_tap()).let(70_000)
        reading = await client
        await reading.until(70_000)
        # Nothing is closed: to the disk this is as a kill.
        stuck = fills()
        async with running(tmp_path, hub_upstream) as bench:
            client = asyncio.create_task(begin(bench.blobs, MIRROR, DIGEST))
            tap = await hub_upstream.next_tap()
            assert tap.asked.start == 70_000
            tap.let_rest()
            assert await (await client).complete() == LAYER
            await fills_ended(besides=stuck)
            assert bench.has(DIGEST)
        await reading.leave()


@both_algorithms
@pytest.mark.parametrize("is_announced", [True, False])
async def test_when_every_byte_is_there_none_is_downloaded(
    tmp_path: Path, hub_upstream: ScriptedUpstream, digest: Digest, *, is_announced: bool
) -> None:
    hub_upstream.put_blob(NAME, digest, LAYER)
    await leave_behind(tmp_path, digest, LAYER)
    async with running(tmp_path, hub_upstream) as bench:
        if is_announced:
            await announce(bench, digest)
        assert await fetch(bench.blobs, MIRROR, digest) == LAYER
        await fills_ended()
        assert bench.has(digest)
        # Without a manifest that names it, the upstream must say that the repository has it.
        assert hub_upstream.count("head") == (0 if is_announced else 1)
        assert hub_upstream.count("blob") == 0


async def test_bytes_of_another_repository_are_no_right_to_show_them(
    tmp_path: Path, hub_upstream: ScriptedUpstream
) -> None:
    await leave_behind(tmp_path, DIGEST, LAYER)
    async with running(tmp_path, hub_upstream) as bench:
        with pytest.raises(BlobUnknown):
            await fetch(bench.blobs, MIRROR, DIGEST)
        hub_upstream.trouble["head"] = UpstreamUnreachable("no answer")
        with pytest.raises(BlobUnknown, match="no answer"):
            await fetch(bench.blobs, MIRROR, DIGEST)
        hub_upstream.trouble.clear()
        await fills_ended()
        assert not bench.has(DIGEST)
        hub_upstream.put_blob(NAME, DIGEST, LAYER)
        assert await fetch(bench.blobs, MIRROR, DIGEST) == LAYER
        await fills_ended()
        assert bench.has(DIGEST)


@both_algorithms
async def test_a_part_is_gone_on_from(
    tmp_path: Path, hub_upstream: ScriptedUpstream, digest: Digest
) -> None:
    hub_upstream.put_blob(NAME, digest, LAYER)
    await leave_behind(tmp_path, digest, LAYER[:70_000])
    async with running(tmp_path, hub_upstream) as bench:
        assert await fetch(bench.blobs, MIRROR, digest) == LAYER
        assert [asked.start for asked in hub_upstream.questions("blob")] == [70_000]


@both_algorithms
@pytest.mark.parametrize("left", [b"x" * SIZE, LAYER + b"x", b"x" * (2 * SIZE)])
async def test_a_part_that_cannot_be_one_is_thrown_away(
    tmp_path: Path, hub_upstream: ScriptedUpstream, digest: Digest, left: bytes
) -> None:
    hub_upstream.put_blob(NAME, digest, LAYER)
    await leave_behind(tmp_path, digest, left)
    async with running(tmp_path, hub_upstream) as bench:
        await announce(bench, digest)
        assert await fetch(bench.blobs, MIRROR, digest) == LAYER
        assert [asked.start for asked in hub_upstream.questions("blob")] == [0]
        await fills_ended()
        assert bench.has(digest)


@both_algorithms
@pytest.mark.parametrize("left", [b"x" * 70_000, b"x" * SIZE, LAYER + b"x"])
async def test_a_part_that_is_wrong_fails_once_and_is_gone(
    tmp_path: Path, hub_upstream: ScriptedUpstream, digest: Digest, left: bytes
) -> None:
    hub_upstream.put_blob(NAME, digest, LAYER)
    await leave_behind(tmp_path, digest, left)
    async with running(tmp_path, hub_upstream) as bench:
        with pytest.raises((FillFailed, BlobUnknown)):
            await fetch(bench.blobs, MIRROR, digest)
        await fills_ended()
        assert not bench.has(digest)
        assert names_in(tmp_path / "ingest") == []
        assert await fetch(bench.blobs, MIRROR, digest) == LAYER
        await fills_ended()
        assert bench.has(digest)


async def test_a_part_of_what_the_upstream_no_longer_has(
    tmp_path: Path, hub_upstream: ScriptedUpstream
) -> None:
    await leave_behind(tmp_path, DIGEST, LAYER[:70_000])
    async with running(tmp_path, hub_upstream) as bench:
        with pytest.raises(BlobUnknown):
            await fetch(bench.blobs, MIRROR, DIGEST)
    assert names_in(tmp_path / "ingest") == []


async def test_what_was_published_and_never_recorded_is_taken_up(
    tmp_path: Path, hub_upstream: ScriptedUpstream
) -> None:
    hub_upstream.put_blob(NAME, DIGEST, LAYER)
    ground: Ground = disk_ground(tmp_path)
    await ground.store.put(DIGEST, LAYER)
    bench = set_up(ground, {HUB: hub_upstream})
    assert await fetch(bench.blobs, MIRROR, DIGEST) == LAYER
    assert hub_upstream.count("blob") == 0
    await bench.close()
