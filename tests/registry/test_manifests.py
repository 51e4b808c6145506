"""What is kept of a manifest, counted, and asked for by digest: once."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from mirror.oci.digest import Digest, digest_of
from mirror.oci.errors import ManifestUnknown
from mirror.oci.manifest import Manifest
from mirror.oci.media_type import SCHEMA1_SIGNED
from mirror.oci.reference import Tag
from mirror.ports.metadata import Use
from mirror.ports.repository import Repository
from mirror.registry.routing import Approach, Route
from mirror.registry.statistics import Result
from tests.registry.moving_tag import NEW, OLD, asked, get, head, stale
from tests.registry.scripted_upstream import ScriptedUpstream
from tests.registry.troubled_stores import TroubledFacts
from tests.registry.workbench import (
    HUB,
    LATEST,
    MIRROR,
    NAME,
    NGINX,
    TO_REDIS,
    Ground,
    Workbench,
    disk_ground,
    set_up,
)
from tests.simulated_hub import make_index

# By digest.


async def test_a_digest_is_asked_for_once(
    bench: Workbench, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    answer = await bench.manifests.get(MIRROR, old.digest)
    assert (answer.content, answer.handling.result) == (old.content, Result.MISS)
    bench.clock.advance(timedelta(days=1000))
    answer = await bench.manifests.get(MIRROR, old.digest)
    assert (answer.content, answer.handling.result) == (old.content, Result.HIT)
    assert asked(hub_upstream) == ["manifest"]


async def test_a_herd_for_a_digest_is_one_get(
    bench: Workbench, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    gets = [bench.manifests.get(MIRROR, old.digest) for _ in range(300)]
    assert {answer.content for answer in await asyncio.gather(*gets)} == {old.content}
    assert asked(hub_upstream) == ["manifest"]


async def test_what_arrives_while_facts_are_looked_up_costs_no_second_get(
    ground: Ground, facts: TroubledFacts, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    """Nobody asks for it any more when it is found that it was not here a moment ago."""
    bench = set_up(Ground(ground.clock, ground.store, facts), {HUB: hub_upstream})

    async def pull() -> None:
        facts.after_get_manifest = TroubledFacts().after_get_manifest
        await bench.manifests.get(MIRROR, old.digest)

    facts.after_get_manifest = pull
    assert (await bench.manifests.get(MIRROR, old.digest)).content == old.content
    assert asked(hub_upstream) == ["manifest"]
    await bench.close()


async def test_a_digest_that_is_held_outlives_the_tag_and_the_repository(
    bench: Workbench, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    await get(bench)
    hub_upstream.tags.clear()
    hub_upstream.manifests.clear()
    stale(bench)
    with pytest.raises(ManifestUnknown):
        await get(bench)
    asked(hub_upstream)
    assert (await bench.manifests.get(MIRROR, old.digest)).content == old.content
    assert asked(hub_upstream) == []


async def test_a_manifest_of_another_repository_is_asked_for_in_this_one(
    bench: Workbench, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    await get(bench)
    with pytest.raises(ManifestUnknown):
        await bench.manifests.get(TO_REDIS, old.digest)
    assert bench.manifests.peek(TO_REDIS, old.digest) is None
    assert [each.name for each in hub_upstream.questions("manifest")][-1] == "library/redis"


async def test_the_images_below_an_index_come_from_its_repository(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    index = make_index([OLD, NEW])
    top = hub_upstream.push(NAME, "latest", index)
    assert (await get(bench)).content == top.content
    child = await bench.manifests.get(MIRROR, digest_of(OLD.content))
    assert child.content == OLD.content
    assert {each.name for each in hub_upstream.asked} == {NAME}


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_a_manifest_of_either_algorithm(
    bench: Workbench, hub_upstream: ScriptedUpstream, algorithm: str
) -> None:
    digest = digest_of(OLD.content, algorithm)
    hub_upstream.put(NAME, None, Manifest(OLD.media_type, digest, OLD.content))
    assert (await bench.manifests.get(MIRROR, digest)).content == OLD.content
    assert (await bench.manifests.get(MIRROR, digest)).handling.result is Result.HIT


# What is kept.


async def test_what_was_pulled_is_held_after_a_restart(
    ground: Ground, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    bench = set_up(ground, {HUB: hub_upstream})
    await get(bench)
    await bench.close()
    asked(hub_upstream)
    bench = set_up(ground, {HUB: hub_upstream})
    assert bench.manifests.peek(MIRROR, LATEST) is None
    answer = await get(bench)
    assert (answer.content, answer.handling.result) == (old.content, Result.HIT)
    assert bench.manifests.peek(MIRROR, LATEST) is not None
    assert asked(hub_upstream) == []
    await bench.close()


async def test_an_answer_is_a_use(
    bench: Workbench, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    async def peek(reference: Tag | Digest) -> None:
        assert bench.manifests.peek(MIRROR, reference) is not None

    await get(bench)
    await get(bench)
    for asking in (
        peek(LATEST),
        peek(old.digest),
        get(bench),
        bench.manifests.get(MIRROR, old.digest),
    ):
        await bench.housekeeping.flush()
        assert Use(NGINX, old.digest) not in bench.usage
        await asking
        assert Use(NGINX, old.digest) in bench.usage
    assert hub_upstream.count("resolve") == 1


async def test_schema_1_passes_through_and_is_not_kept(
    tmp_path: Path, hub_upstream: ScriptedUpstream
) -> None:
    content = b'{"schemaVersion": 1, "fsLayers": []}'
    manifest = Manifest(SCHEMA1_SIGNED, digest_of(content), content)
    hub_upstream.put(NAME, "latest", manifest)
    hub_upstream.unclear_heads = True
    # Whoever asks for such a digest is not told: registries know it under another one.
    del hub_upstream.manifests[NAME, manifest.digest]
    bench = set_up(disk_ground(tmp_path), {HUB: hub_upstream})
    for _ in range(2):
        answer = await get(bench)
        assert (answer.content, answer.descriptor.media_type) == (content, SCHEMA1_SIGNED)
        assert (await head(bench)).descriptor == manifest.descriptor
    assert not bench.has(manifest.digest)
    assert asked(hub_upstream) == ["resolve"] * 4
    await bench.close()


async def test_a_name_that_is_hosted_here_asks_no_upstream(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    hosted = Route(Repository(None, NGINX.name), Approach.MIRROR)
    assert bench.manifests.peek(hosted, LATEST) is None
    for asking in (get(bench, hosted), bench.manifests.get(hosted, digest_of(b"x"))):
        with pytest.raises(Exception, match="no repository") as caught:
            await asking
        assert getattr(caught.value, "status", None) == 404
    assert hub_upstream.asked == []


async def test_a_fallback_is_looked_at_in_memory_too(
    bench: Workbench, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    route = Route(Repository(None, NGINX.name), Approach.MIRROR, fallback=NGINX)
    for _ in range(2):
        assert (await get(bench, route)).content == old.content
    answer = bench.manifests.peek(route, LATEST)
    assert answer is not None
    assert answer.repository == NGINX
    assert hub_upstream.count("resolve") == 1


async def test_what_comes_from_an_upstream_is_counted(
    bench: Workbench, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    await get(bench)
    await get(bench)
    (sample,) = bench.statistics.samples()
    assert (sample.measure, sample.upstream, sample.kind, sample.value) == (
        "bytes_from_upstream",
        HUB,
        "manifest",
        old.size,
    )
    assert hub_upstream.count("manifest") == 1
