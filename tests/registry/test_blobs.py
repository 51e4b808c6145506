"""Blobs that are here are served, and HEAD asks for what is not."""

import asyncio
from datetime import timedelta

import pytest

from mirror.oci.digest import Digest, digest_of, parse_digest
from mirror.oci.errors import BlobUnknown, OCIError, Unavailable
from mirror.ports.metadata import Use
from mirror.ports.repository import Repository
from mirror.registry.answer import Handling
from mirror.registry.blobs import HIT, LATELY
from mirror.registry.routing import Approach, Route
from mirror.registry.statistics import Result
from tests.registry.one_layer import DIGEST, DOWN, IMAGE, LAYER, hold_manifest, pulled
from tests.registry.reading import begin, fetch, must_be_open
from tests.registry.scripted_upstream import ScriptedUpstream
from tests.registry.workbench import (
    DIRECT,
    GHCR,
    GHCR_APP,
    HUB,
    MIRROR,
    NAME,
    NGINX,
    TO_GHCR,
    TO_REDIS,
    Ground,
    Habits,
    Workbench,
    set_up,
)

NEW = b"new"
NEW_DIGEST = digest_of(NEW)


async def test_a_stored_blob_is_served_without_a_question(
    bench: Workbench, hub_upstream: ScriptedUpstream, layer: Digest
) -> None:
    await pulled(bench)
    hub_upstream.asked.clear()
    await bench.housekeeping.flush()
    answer = await bench.blobs.get(MIRROR, layer)
    assert answer.handling.result is Result.HIT
    must_be_open(answer).close()
    assert Use(None, layer) in bench.usage
    head = await bench.blobs.head(MIRROR, layer)
    assert (head.size, head.blob, head.handling.result) == (len(LAYER), None, Result.HIT)
    assert hub_upstream.asked == []


async def test_a_download_is_a_use(bench: Workbench, layer: Digest) -> None:
    await pulled(bench)
    assert Use(None, layer) in bench.usage


async def test_a_part_of_a_stored_blob(bench: Workbench, layer: Digest) -> None:
    await pulled(bench)
    reading = await begin(bench.blobs, MIRROR, layer, (100, 200))
    assert await reading.complete() == LAYER[100:200]


async def test_a_head_downloads_nothing(
    bench: Workbench, hub_upstream: ScriptedUpstream, layer: Digest
) -> None:
    answer = await bench.blobs.head(MIRROR, layer)
    assert (answer.size, answer.blob) == (len(LAYER), None)
    assert answer.handling.result is Result.MISS
    assert not answer.handling.stored
    assert [asked.what for asked in hub_upstream.asked] == ["head"]


async def test_a_herd_of_heads_is_one_question(
    bench: Workbench, hub_upstream: ScriptedUpstream, layer: Digest
) -> None:
    answers = await asyncio.gather(*[bench.blobs.head(MIRROR, layer) for _ in range(200)])
    assert {answer.size for answer in answers} == {len(LAYER)}
    assert hub_upstream.count("head") == 1


async def test_what_a_head_was_told_is_believed_for_a_moment(
    bench: Workbench, hub_upstream: ScriptedUpstream, layer: Digest
) -> None:
    for handling in (Handling(Result.MISS, stored=False), HIT, HIT):
        answer = await bench.blobs.head(MIRROR, layer)
        assert (answer.size, answer.handling) == (len(LAYER), handling)
        with pytest.raises(BlobUnknown):
            await bench.blobs.head(MIRROR, NEW_DIGEST)
        with pytest.raises(BlobUnknown):
            await bench.blobs.head(TO_REDIS, layer)
    assert hub_upstream.count("head") == 3
    hub_upstream.put_blob(NAME, NEW_DIGEST, NEW)
    bench.clock.advance(timedelta(seconds=LATELY))
    assert (await bench.blobs.head(MIRROR, NEW_DIGEST)).size == len(NEW)


async def test_a_head_that_failed_is_asked_again(
    bench: Workbench, hub_upstream: ScriptedUpstream, layer: Digest
) -> None:
    hub_upstream.trouble["head"] = DOWN
    with pytest.raises(BlobUnknown):
        await bench.blobs.head(MIRROR, layer)
    del hub_upstream.trouble["head"]
    assert (await bench.blobs.head(MIRROR, layer)).size == len(LAYER)


async def test_what_a_head_was_told_hides_nothing_that_has_come(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    with pytest.raises(BlobUnknown):
        await bench.blobs.head(MIRROR, NEW_DIGEST)
    hub_upstream.put_blob(NAME, NEW_DIGEST, NEW)
    assert await fetch(bench.blobs, MIRROR, NEW_DIGEST) == NEW
    assert (await bench.blobs.head(MIRROR, NEW_DIGEST)).size == len(NEW)


async def test_a_head_of_what_is_not_there(bench: Workbench) -> None:
    with pytest.raises(BlobUnknown):
        await bench.blobs.head(MIRROR, DIGEST)


async def test_a_head_that_is_under_way_hears_that_the_server_stops(
    bench: Workbench, hub_upstream: ScriptedUpstream, layer: Digest
) -> None:
    with hub_upstream.silent("head"):
        head = asyncio.create_task(bench.blobs.head(MIRROR, layer))
        await hub_upstream.until_asked("head")
        await bench.blobs.close()
        with pytest.raises(BlobUnknown, match="stopping"):
            await asyncio.wait_for(head, 5)


@pytest.mark.parametrize(("route", "error"), [(MIRROR, BlobUnknown), (DIRECT, Unavailable)])
async def test_a_head_while_the_upstream_is_down(
    bench: Workbench, hub_upstream: ScriptedUpstream, route: Route, error: type[OCIError]
) -> None:
    hub_upstream.trouble["head"] = DOWN
    with pytest.raises(error, match="no answer"):
        await bench.blobs.head(route, DIGEST)


async def test_a_name_that_is_hosted_here_asks_no_upstream(bench: Workbench) -> None:
    hosted = Route(Repository(None, NGINX.name), Approach.MIRROR)
    for asking in (bench.blobs.get, bench.blobs.head):
        with pytest.raises(OCIError) as caught:
            await asking(hosted, DIGEST)
        assert caught.value.status == 404


async def test_offline_what_is_here_is_served_and_the_rest_is_unknown(
    ground: Ground, hub_upstream: ScriptedUpstream, ghcr_upstream: ScriptedUpstream, layer: Digest
) -> None:
    upstreams = {HUB: hub_upstream, GHCR: ghcr_upstream}
    online = set_up(ground, upstreams)
    await pulled(online)
    await hold_manifest(online, GHCR_APP, IMAGE)
    await online.close()
    hub_upstream.asked.clear()
    bench = set_up(ground, upstreams, Habits(offline=True))
    assert await fetch(bench.blobs, MIRROR, layer) == LAYER
    assert await fetch(bench.blobs, TO_GHCR, layer) == LAYER
    other = parse_digest("sha256:" + "0" * 64)
    for route, digest in ((MIRROR, other), (DIRECT, other), (TO_REDIS, layer)):
        for asking in (bench.blobs.get, bench.blobs.head):
            with pytest.raises(BlobUnknown, match="offline"):
                await asking(route, digest)
    assert hub_upstream.asked == []
    await bench.close()
