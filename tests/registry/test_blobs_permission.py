"""Possession is not permission: a repository serves what its upstream or a manifest grants it."""

import asyncio

import pytest

from mirror.oci.digest import Digest
from mirror.oci.errors import BlobUnknown, OCIError, Unavailable
from mirror.registry.routing import Approach, Route
from tests.registry.one_layer import DOWN, IMAGE, LAYER, hold_manifest, pulled
from tests.registry.reading import fetch
from tests.registry.scripted_upstream import ScriptedUpstream
from tests.registry.workbench import MIRROR, NGINX, REDIS, TO_REDIS, Workbench


async def test_what_another_repository_brought_is_served_when_the_upstream_has_it_too(
    bench: Workbench, hub_upstream: ScriptedUpstream, layer: Digest
) -> None:
    await pulled(bench)
    hub_upstream.put_blob("library/redis", layer, LAYER)
    assert await fetch(bench.blobs, TO_REDIS, layer) == LAYER
    assert [asked.name for asked in hub_upstream.questions("head")] == ["library/redis"]
    assert hub_upstream.count("blob") == 1
    hub_upstream.asked.clear()
    assert await fetch(bench.blobs, TO_REDIS, layer) == LAYER
    assert hub_upstream.asked == [], "it was told once"


async def test_what_another_repository_brought_is_not_served_when_the_upstream_lacks_it(
    bench: Workbench, hub_upstream: ScriptedUpstream, layer: Digest
) -> None:
    await pulled(bench)
    for asking in (bench.blobs.get, bench.blobs.head):
        with pytest.raises(BlobUnknown):
            await asking(TO_REDIS, layer)
    assert hub_upstream.count("head", "library/redis") == 2
    assert await bench.facts.get_blob(REDIS, layer) is None


@pytest.mark.parametrize(
    ("approach", "error"), [(Approach.MIRROR, BlobUnknown), (Approach.DIRECT, Unavailable)]
)
async def test_what_another_repository_brought_is_not_served_when_nobody_can_tell(
    bench: Workbench,
    hub_upstream: ScriptedUpstream,
    layer: Digest,
    approach: Approach,
    error: type[OCIError],
) -> None:
    await pulled(bench)
    hub_upstream.trouble["head"] = DOWN
    route = Route(REDIS, approach)
    for asking in (bench.blobs.get, bench.blobs.head):
        with pytest.raises(error, match="no answer"):
            await asking(route, layer)


async def test_what_a_manifest_of_the_repository_names_needs_no_question(
    bench: Workbench, hub_upstream: ScriptedUpstream, layer: Digest
) -> None:
    await pulled(bench)
    await hold_manifest(bench, REDIS, IMAGE)
    hub_upstream.asked.clear()
    hub_upstream.trouble.update({"head": DOWN, "blob": DOWN})
    assert await fetch(bench.blobs, TO_REDIS, layer) == LAYER
    assert hub_upstream.asked == []


async def test_the_bytes_of_a_manifest_are_no_blob(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    manifest = await hold_manifest(bench, NGINX, IMAGE)
    for asking in (bench.blobs.get, bench.blobs.head):
        with pytest.raises(BlobUnknown):
            await asking(MIRROR, manifest.digest)
    assert hub_upstream.count("head") == 2


async def test_a_herd_for_what_another_repository_brought_is_one_question(
    bench: Workbench, hub_upstream: ScriptedUpstream, layer: Digest
) -> None:
    await pulled(bench)
    hub_upstream.put_blob("library/redis", layer, LAYER)
    contents = await asyncio.gather(*[fetch(bench.blobs, TO_REDIS, layer) for _ in range(100)])
    assert set(contents) == {LAYER}
    assert hub_upstream.count("head") == 1


async def test_a_client_that_leaves_while_it_is_permitted_leaves_nothing_behind(
    bench: Workbench,
    hub_upstream: ScriptedUpstream,
    layer: Digest,
) -> None:
    # That no file stays open is what every test here is held to.
    await pulled(bench)
    hub_upstream.put_blob("library/redis", layer, LAYER)
    with hub_upstream.silent("head"):
        client = asyncio.create_task(bench.blobs.get(TO_REDIS, layer))
        await hub_upstream.until_asked("head")
        client.cancel()
        await asyncio.wait({client})
