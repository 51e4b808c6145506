"""Bytes and facts that disagree: what is served is right, and the rest heals."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from mirror.oci.digest import Digest, digest_of
from mirror.oci.errors import BlobUnknown
from mirror.ports.metadata import BlobRecord
from mirror.registry.statistics import Result
from tests.registry.one_layer import (
    DOWN,
    IMAGE,
    LAYER,
    SIZE,
    hold_manifest,
    place_of,
    pulled,
    rewrite,
)
from tests.registry.reading import begin, fetch
from tests.registry.scripted_upstream import ScriptedUpstream
from tests.registry.workbench import (
    HUB,
    MIRROR,
    NGINX,
    REDIS,
    TO_REDIS,
    Workbench,
    disk_ground,
    fills_ended,
    names_in,
    set_up,
)
from tests.simulated_hub import Image, make_image


async def test_a_row_without_its_file_heals(
    bench: Workbench, hub_upstream: ScriptedUpstream, layer: Digest
) -> None:
    await pulled(bench)
    await bench.store.delete(layer)
    contents = await asyncio.gather(*[fetch(bench.blobs, MIRROR, layer) for _ in range(50)])
    assert set(contents) == {LAYER}
    await fills_ended()
    assert bench.has(layer)
    assert hub_upstream.count("blob") == 2


async def test_a_file_without_its_row_is_taken_up(
    bench: Workbench, hub_upstream: ScriptedUpstream, layer: Digest
) -> None:
    await bench.store.put(layer, LAYER)
    assert await fetch(bench.blobs, MIRROR, layer) == LAYER
    assert hub_upstream.count("blob") == 0
    assert await bench.facts.get_blob(NGINX, layer) == BlobRecord(layer, len(LAYER))


async def test_a_file_without_its_row_that_a_manifest_names_needs_no_question(
    bench: Workbench, hub_upstream: ScriptedUpstream, layer: Digest
) -> None:
    await bench.store.put(layer, LAYER)
    await hold_manifest(bench, NGINX, IMAGE)
    assert await fetch(bench.blobs, MIRROR, layer) == LAYER
    assert hub_upstream.asked == []


@pytest.mark.parametrize("is_announced", [True, False])
@pytest.mark.parametrize("change", [lambda content: content[:-1], lambda content: content + b"x"])
async def test_a_file_without_its_row_is_not_taken_up_at_another_length(
    tmp_path: Path,
    hub_upstream: ScriptedUpstream,
    layer: Digest,
    change: Callable[[bytes], bytes],
    *,
    is_announced: bool,
) -> None:
    bench = set_up(disk_ground(tmp_path), {HUB: hub_upstream})
    await bench.store.put(layer, LAYER)
    rewrite(tmp_path, layer, change(LAYER))
    if is_announced:
        await hold_manifest(bench, NGINX, IMAGE)
    assert await fetch(bench.blobs, MIRROR, layer) == LAYER
    await fills_ended()
    assert await fetch(bench.blobs, MIRROR, layer) == LAYER
    assert hub_upstream.count("blob") == 1
    assert len(names_in(tmp_path / "quarantine")) == 2
    await bench.close()


@pytest.mark.parametrize("damage", [b"", LAYER[:-1], LAYER + b"x", b"x" * 10])
async def test_a_file_of_another_length_is_set_aside_and_fetched_again(
    tmp_path: Path, hub_upstream: ScriptedUpstream, layer: Digest, damage: bytes
) -> None:
    bench = set_up(disk_ground(tmp_path), {HUB: hub_upstream})
    await pulled(bench)
    rewrite(tmp_path, layer, damage)
    contents = await asyncio.gather(*[fetch(bench.blobs, MIRROR, layer) for _ in range(50)])
    assert set(contents) == {LAYER}
    await fills_ended()
    assert hub_upstream.count("blob") == 2
    assert names_in(tmp_path / "quarantine") == [f"{layer.encoded}.1", f"{layer.encoded}.1.json"]
    assert bench.statistics.total("quarantined") == 1
    assert await fetch(bench.blobs, MIRROR, layer) == LAYER
    assert hub_upstream.count("blob") == 2
    await bench.close()


@pytest.mark.parametrize("is_announced", [True, False])
async def test_a_file_of_another_length_is_not_served_in_another_repository_either(
    tmp_path: Path, hub_upstream: ScriptedUpstream, layer: Digest, *, is_announced: bool
) -> None:
    bench = set_up(disk_ground(tmp_path), {HUB: hub_upstream})
    await pulled(bench)
    rewrite(tmp_path, layer, LAYER[:-1])
    hub_upstream.put_blob(str(REDIS.name), layer, LAYER)
    if is_announced:
        await hold_manifest(bench, REDIS, IMAGE)
    assert await fetch(bench.blobs, TO_REDIS, layer) == LAYER
    await fills_ended()
    assert hub_upstream.count("blob") == 2
    assert bench.statistics.total("quarantined") == 1
    await bench.close()


async def test_a_damaged_file_is_not_served_even_when_nobody_can_give_another(
    tmp_path: Path, hub_upstream: ScriptedUpstream, layer: Digest
) -> None:
    bench = set_up(disk_ground(tmp_path), {HUB: hub_upstream})
    await pulled(bench)
    rewrite(tmp_path, layer, LAYER[:-1])
    hub_upstream.trouble["blob"] = DOWN
    with pytest.raises(BlobUnknown, match="no answer"):
        await bench.blobs.get(MIRROR, layer)
    head = bench.blobs.head(MIRROR, layer)
    assert (await head).handling.result is Result.MISS
    hub_upstream.trouble.clear()
    assert await fetch(bench.blobs, MIRROR, layer) == LAYER
    await bench.close()


async def test_something_else_in_the_place_of_a_file_is_fetched_again(
    tmp_path: Path, hub_upstream: ScriptedUpstream, layer: Digest
) -> None:
    bench = set_up(disk_ground(tmp_path), {HUB: hub_upstream})
    await pulled(bench)
    place = place_of(tmp_path, layer)
    place.unlink()
    place.mkdir()
    assert await fetch(bench.blobs, MIRROR, layer) == LAYER
    await fills_ended()
    assert await fetch(bench.blobs, MIRROR, layer) == LAYER
    assert hub_upstream.count("blob") == 2
    await bench.close()


async def test_a_manifest_that_lies_about_a_length_harms_only_itself(
    bench: Workbench, hub_upstream: ScriptedUpstream, layer: Digest
) -> None:
    lying = make_image(layers=[LAYER])
    content = lying.content.replace(f'"size": {SIZE}'.encode(), b'"size": 5')
    assert content != lying.content
    digest = digest_of(content)
    image = Image(
        content, lying.media_type, str(digest), lying.config, lying.layers, {}, lying.platform
    )
    await hold_manifest(bench, REDIS, image)
    hub_upstream.put_blob("library/redis", layer, LAYER)
    with pytest.raises(BlobUnknown, match="announced"):
        await bench.blobs.get(TO_REDIS, layer)
    await fills_ended()
    assert not bench.has(layer)
    await pulled(bench)
    # What is here is right, whatever the manifest says of it.
    assert await fetch(bench.blobs, TO_REDIS, layer) == LAYER


async def test_an_announced_size_that_the_upstream_contradicts(
    bench: Workbench, hub_upstream: ScriptedUpstream, layer: Digest
) -> None:
    await hold_manifest(bench, NGINX, IMAGE)
    hub_upstream.announced[layer] = len(LAYER) - 1
    with pytest.raises(BlobUnknown, match="announced"):
        await bench.blobs.get(MIRROR, layer)
    hub_upstream.announced.clear()
    assert await fetch(bench.blobs, MIRROR, layer) == LAYER


async def test_an_announced_size_makes_up_for_one_that_is_not_told(
    bench: Workbench, hub_upstream: ScriptedUpstream, layer: Digest
) -> None:
    await hold_manifest(bench, NGINX, IMAGE)
    hub_upstream.announced[layer] = None
    hub_upstream.by_hand.add(layer)
    client = asyncio.create_task(begin(bench.blobs, MIRROR, layer))
    tap = await hub_upstream.next_tap()
    tap.let(50_000)
    reading = await client
    await reading.until(50_000)
    tap.let_rest()
    assert await reading.complete() == LAYER
    assert hub_upstream.count("head") == 0
