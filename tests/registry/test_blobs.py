"""Who may have which blob, and what happens when bytes and facts disagree."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from mirror.oci.digest import Digest, digest_of, parse_digest
from mirror.oci.errors import BlobUnknown, OCIError, Unavailable
from mirror.oci.manifest import Manifest, parse_references
from mirror.ports.metadata import BlobRecord, Use
from mirror.ports.repository import Repository
from mirror.ports.upstream import UpstreamUnreachable
from mirror.registry.routing import Approach, Route
from mirror.registry.statistics import Result
from mirror.storage.memory import MemoryBlobStore
from tests.registry.full_facts import FullFacts
from tests.registry.reading import begin, fetch, must_be_open
from tests.registry.scripted_upstream import ScriptedUpstream, manifest_of
from tests.registry.workbench import (
    DIRECT,
    GHCR,
    GHCR_APP,
    HUB,
    MIRROR,
    NAME,
    NGINX,
    REDIS,
    TO_GHCR,
    TO_REDIS,
    Ground,
    Habits,
    Workbench,
    disk_ground,
    fills_ended,
    names_in,
    set_up,
    settle,
)
from tests.simulated_hub import Image, blob, make_image
from tests.world import SettableClock

LAYER = blob("layer", 100_000)
DIGEST = digest_of(LAYER)
IMAGE = make_image(layers=[LAYER])
DOWN = UpstreamUnreachable("no answer")


@pytest.fixture
def layer(hub_upstream: ScriptedUpstream) -> Digest:
    """As ``library/nginx`` has it upstream."""
    hub_upstream.put_blob(NAME, DIGEST, LAYER)
    return DIGEST


async def pulled(bench: Workbench, route: Route = MIRROR) -> None:
    assert await fetch(bench.blobs, route, DIGEST) == LAYER
    await fills_ended()


async def hold_manifest(bench: Workbench, repository: Repository, image: Image) -> Manifest:
    """As if it had been pulled in this repository."""
    manifest = manifest_of(image)
    await bench.store.put(manifest.digest, manifest.content)
    await bench.facts.put_manifest(
        repository, manifest.descriptor, parse_references(manifest), bench.clock.now()
    )
    return manifest


# A blob that is here.


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


async def test_a_head_of_what_is_not_there(bench: Workbench) -> None:
    with pytest.raises(BlobUnknown):
        await bench.blobs.head(MIRROR, DIGEST)


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


# Possession is not permission.


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


# Bytes and facts.


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


def rewrite(root: Path, digest: Digest, content: bytes) -> None:
    place = root / "blobs" / digest.algorithm / digest.encoded[:2] / digest.encoded
    place.chmod(0o600)
    place.write_bytes(content)


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
    place = tmp_path / "blobs" / layer.algorithm / layer.encoded[:2] / layer.encoded
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
    content = lying.content.replace(b'"size": 100000', b'"size": 5')
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


# One download for several repositories.


async def filling(upstream: ScriptedUpstream, bench: Workbench) -> "asyncio.Task[bytes]":
    """Another repository downloads it just now."""
    upstream.by_hand.add(DIGEST)
    task = asyncio.create_task(fetch(bench.blobs, MIRROR, DIGEST))
    await upstream.until_asked("blob")
    await settle()
    return task


async def test_a_download_is_shared_with_a_repository_that_has_the_blob_too(
    bench: Workbench,
    hub_upstream: ScriptedUpstream,
    ghcr_upstream: ScriptedUpstream,
    layer: Digest,
) -> None:
    ghcr_upstream.put_blob("team/app", layer, LAYER)
    first = await filling(hub_upstream, bench)
    second = asyncio.create_task(fetch(bench.blobs, TO_GHCR, layer))
    await ghcr_upstream.until_asked("head")
    (await hub_upstream.next_tap()).let_rest()
    assert await first == await second == LAYER
    assert ghcr_upstream.count("blob") == 0
    await fills_ended()
    ghcr_upstream.asked.clear()
    assert await fetch(bench.blobs, TO_GHCR, layer) == LAYER
    assert ghcr_upstream.asked == []
    assert (await bench.blobs.head(TO_GHCR, layer)).repository == GHCR_APP


async def test_a_download_is_not_shared_with_a_repository_that_lacks_the_blob(
    bench: Workbench,
    hub_upstream: ScriptedUpstream,
    ghcr_upstream: ScriptedUpstream,
    layer: Digest,
) -> None:
    first = await filling(hub_upstream, bench)
    with pytest.raises(BlobUnknown):
        await bench.blobs.get(TO_GHCR, layer)
    ghcr_upstream.trouble["head"] = DOWN
    with pytest.raises(Unavailable, match="no answer"):
        await bench.blobs.get(TO_GHCR, layer)
    (await hub_upstream.next_tap()).let_rest()
    assert await first == LAYER


async def test_a_shared_download_needs_no_question_when_a_manifest_names_the_blob(
    bench: Workbench,
    hub_upstream: ScriptedUpstream,
    ghcr_upstream: ScriptedUpstream,
    layer: Digest,
) -> None:
    await hold_manifest(bench, GHCR_APP, IMAGE)
    first = await filling(hub_upstream, bench)
    second = asyncio.create_task(fetch(bench.blobs, TO_GHCR, layer))
    await settle()
    (await hub_upstream.next_tap()).let_rest()
    assert await first == await second == LAYER
    assert ghcr_upstream.asked == []


@pytest.mark.parametrize("trouble", ["down", "absent", "corrupt"])
async def test_when_a_shared_download_fails_the_own_upstream_is_asked(
    bench: Workbench,
    hub_upstream: ScriptedUpstream,
    ghcr_upstream: ScriptedUpstream,
    layer: Digest,
    trouble: str,
) -> None:
    if trouble == "down":
        hub_upstream.trouble["blob"] = DOWN
    elif trouble == "absent":
        hub_upstream.blobs.clear()
    else:
        hub_upstream.put_blob(NAME, layer, b"")
    ghcr_upstream.put_blob("team/app", layer, LAYER)
    await hold_manifest(bench, GHCR_APP, IMAGE)
    with hub_upstream.silent("blob"):
        first = asyncio.create_task(bench.blobs.get(MIRROR, layer))
        await hub_upstream.until_asked("blob")
        second = asyncio.create_task(fetch(bench.blobs, TO_GHCR, layer))
        await settle()
        assert ghcr_upstream.asked == []
    with pytest.raises(BlobUnknown):
        await first
    assert await second == LAYER
    assert ghcr_upstream.count("blob") == 1


async def test_a_shared_download_that_ends_while_the_own_upstream_is_asked(
    bench: Workbench,
    hub_upstream: ScriptedUpstream,
    ghcr_upstream: ScriptedUpstream,
    layer: Digest,
) -> None:
    ghcr_upstream.put_blob("team/app", layer, LAYER)
    first = await filling(hub_upstream, bench)
    with ghcr_upstream.silent("head"):
        second = asyncio.create_task(fetch(bench.blobs, TO_GHCR, layer))
        await ghcr_upstream.until_asked("head")
        (await hub_upstream.next_tap()).let_rest()
        assert await first == LAYER
        await fills_ended()
    assert await second == LAYER
    assert ghcr_upstream.count("blob") == 0


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


# Offline.


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


# Facts that cannot be written.


async def test_facts_that_cannot_be_written_cost_the_facts(
    hub_upstream: ScriptedUpstream, ghcr_upstream: ScriptedUpstream, layer: Digest
) -> None:
    clock, facts = SettableClock(), FullFacts()
    ground = Ground(clock, MemoryBlobStore(clock), facts)
    bench = set_up(ground, {HUB: hub_upstream, GHCR: ghcr_upstream})
    facts.is_full = True
    ghcr_upstream.put_blob("team/app", layer, LAYER)
    first = await filling(hub_upstream, bench)
    second = asyncio.create_task(fetch(bench.blobs, TO_GHCR, layer))
    await ghcr_upstream.until_asked("head")
    (await hub_upstream.next_tap()).let_rest()
    assert await first == await second == LAYER
    await fills_ended()
    for route in (MIRROR, TO_GHCR):
        assert await fetch(bench.blobs, route, layer) == LAYER
    assert hub_upstream.count("blob") == 1
    assert await bench.facts.get_stored(layer) is None
    facts.is_full = False
    assert await fetch(bench.blobs, MIRROR, layer) == LAYER
    assert await bench.facts.get_stored(layer) is not None
    await bench.close()
