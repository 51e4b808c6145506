"""One download for everybody: what readers get while it runs."""

import asyncio
from pathlib import Path

import pytest

from mirror.oci.digest import Digest, digest_of
from mirror.oci.errors import BlobUnknown, OCIError, TooManyRequests
from mirror.ports.upstream import (
    UpstreamDenied,
    UpstreamError,
    UpstreamThrottled,
    UpstreamUnreachable,
)
from mirror.registry.follow import FillFailed
from mirror.registry.routing import Approach, Route
from mirror.registry.statistics import Result
from tests.registry.one_layer import DIGEST, LAYER, SIZE, asking
from tests.registry.reading import begin, fetch, must_be_open
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
)

EMPTY = digest_of(b"")


async def test_the_first_bytes_come_while_the_upstream_still_sends(
    bench: Workbench, hub_upstream: ScriptedUpstream, tapped: Digest
) -> None:
    client = await asking(bench, tapped)
    tap = await hub_upstream.next_tap()
    tap.let(50_000)
    reading = await client
    await reading.until(50_000)
    assert bytes(reading.received) == LAYER[:50_000]
    tap.let_rest()
    assert await reading.complete() == LAYER
    await fills_ended()
    assert bench.has(tapped)


async def test_an_answer_says_what_it_is_before_the_bytes_come(
    bench: Workbench, hub_upstream: ScriptedUpstream, tapped: Digest
) -> None:
    asked = asyncio.create_task(bench.blobs.get(MIRROR, tapped))
    tap = await hub_upstream.next_tap()
    answer = await asked
    assert (answer.size, answer.digest, answer.repository) == (SIZE, tapped, MIRROR.repository)
    assert answer.handling.result is Result.MISS
    assert answer.handling.stored
    must_be_open(answer).close()
    tap.let_rest()
    await fills_ended()


async def test_who_comes_late_begins_at_the_first_byte(
    bench: Workbench, hub_upstream: ScriptedUpstream, tapped: Digest
) -> None:
    client = await asking(bench, tapped)
    tap = await hub_upstream.next_tap()
    tap.let(150_000)
    first = await client
    await first.until(150_000)
    late = await begin(bench.blobs, MIRROR, tapped)
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


@pytest.mark.parametrize("error", [UpstreamThrottled("no"), UpstreamDenied("no")], ids=repr)
async def test_what_never_began_leaves_nothing_behind(
    tmp_path: Path, hub_upstream: ScriptedUpstream, error: UpstreamError
) -> None:
    """Anybody can ask for any number of digests."""
    bench = set_up(disk_ground(tmp_path), {HUB: hub_upstream})
    hub_upstream.trouble["blob"] = error
    for number in range(3):
        with pytest.raises(BlobUnknown, match="no"):
            await bench.blobs.get(MIRROR, digest_of(b"%d" % number))
    await fills_ended()
    assert names_in(tmp_path / "ingest") == []


async def test_what_is_being_downloaded_is_known(
    bench: Workbench, hub_upstream: ScriptedUpstream, tapped: Digest
) -> None:
    assert not bench.blobs.is_filling(tapped)
    client = await asking(bench, tapped)
    assert bench.blobs.is_filling(tapped)
    assert bench.blobs.filling() == {tapped}
    tap = await hub_upstream.next_tap()
    tap.let_rest()
    await (await client).complete()
    await fills_ended()
    assert bench.blobs.filling() == frozenset()


async def test_stopping_keeps_what_was_written(
    tmp_path: Path, hub_upstream: ScriptedUpstream, tapped: Digest
) -> None:
    bench = set_up(disk_ground(tmp_path), {HUB: hub_upstream})
    client = await asking(bench, tapped)
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
    bench: Workbench, hub_upstream: ScriptedUpstream, tapped: Digest
) -> None:
    with hub_upstream.silent("blob"):
        client = await asking(bench, tapped)
        await bench.close()
        with pytest.raises(BlobUnknown, match="stopping"):
            await client
