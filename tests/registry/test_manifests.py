"""Tags and digests: how often an upstream is asked, and what for."""

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
from mirror.registry.answer import ManifestAnswer
from mirror.registry.manifests import ABSENCE, MOST_ABSENT, Absences
from mirror.registry.routing import Approach, Route
from mirror.registry.statistics import Result
from tests.registry.scripted_upstream import ScriptedUpstream, What
from tests.registry.workbench import (
    FRESH,
    HUB,
    LATEST,
    MIRROR,
    NAME,
    NGINX,
    TO_REDIS,
    Ground,
    Habits,
    Workbench,
    disk_ground,
    set_up,
)
from tests.simulated_hub import blob, make_image, make_index
from tests.world import SettableClock

OLD = make_image(layers=[blob("old", 1000)])
NEW = make_image(layers=[blob("new", 1000)])


@pytest.fixture
def old(hub_upstream: ScriptedUpstream) -> Manifest:
    """What ``library/nginx:latest`` names upstream."""
    return hub_upstream.push(NAME, "latest", OLD)


async def get(bench: Workbench, route: Route = MIRROR, tag: Tag = LATEST) -> ManifestAnswer:
    return await bench.manifests.resolve(route, tag, content=True)


async def head(bench: Workbench, route: Route = MIRROR, tag: Tag = LATEST) -> ManifestAnswer:
    return await bench.manifests.resolve(route, tag, content=False)


def asked(upstream: ScriptedUpstream) -> list[What]:
    """What it was asked since the last time."""
    questions = [each.what for each in upstream.asked]
    upstream.asked.clear()
    return questions


def stale(bench: Workbench) -> None:
    """The time passes after which a tag must be confirmed."""
    bench.clock.advance(FRESH)


# Fresh, and confirmed.


async def test_a_cold_tag_is_one_head_and_one_get(
    bench: Workbench, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    answer = await get(bench)
    assert (answer.content, answer.descriptor) == (OLD.content, old.descriptor)
    assert answer.repository == NGINX
    assert (answer.handling.result, answer.handling.ttl) == (Result.MISS, 300)
    assert asked(hub_upstream) == ["resolve", "manifest"]


async def test_a_fresh_tag_is_served_from_memory(
    bench: Workbench, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    assert bench.manifests.peek(MIRROR, LATEST) is None
    await get(bench)
    asked(hub_upstream)
    bench.clock.advance(timedelta(seconds=60))
    for answer in (await get(bench), bench.manifests.peek(MIRROR, LATEST)):
        assert answer is not None
        assert answer.content == OLD.content
        assert (answer.handling.result, answer.handling.ttl) == (Result.HIT, 240)
    by_digest = bench.manifests.peek(MIRROR, old.digest)
    assert by_digest is not None
    assert (by_digest.handling.result, by_digest.handling.ttl) == (Result.HIT, None)
    assert asked(hub_upstream) == []


async def test_the_last_second_is_counted_upwards_and_then_it_is_over(
    bench: Workbench, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    await get(bench)
    bench.clock.advance(FRESH - timedelta(milliseconds=1))
    assert (await get(bench)).handling.ttl == 1
    bench.clock.advance(timedelta(milliseconds=1))
    assert bench.manifests.peek(MIRROR, LATEST) is None
    assert old.digest in {answer.descriptor.digest for answer in [await get(bench)]}
    assert hub_upstream.count("resolve") == 2


async def test_a_stale_tag_that_did_not_move_is_one_head(
    bench: Workbench, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    await get(bench)
    asked(hub_upstream)
    stale(bench)
    answer = await get(bench)
    assert answer.content == old.content
    assert (answer.handling.result, answer.handling.ttl) == (Result.REVALIDATED, 300)
    assert asked(hub_upstream) == ["resolve"]
    assert (await get(bench)).handling.result is Result.HIT
    assert asked(hub_upstream) == []


async def test_a_tag_that_moved_is_one_head_and_one_get_by_digest(
    bench: Workbench, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    await get(bench)
    new = hub_upstream.push(NAME, "latest", NEW)
    assert (await get(bench)).content == old.content, "fresh"
    asked(hub_upstream)
    stale(bench)
    answer = await get(bench)
    assert answer.content == new.content
    assert answer.handling.result is Result.MISS
    assert [(each.what, each.reference) for each in hub_upstream.asked] == [
        ("resolve", "latest"),
        ("manifest", str(new.digest)),
    ]


async def test_a_tag_that_moves_back_is_no_download(
    bench: Workbench, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    await get(bench)
    hub_upstream.push(NAME, "latest", NEW)
    stale(bench)
    await get(bench)
    hub_upstream.put(NAME, "latest", old)
    stale(bench)
    asked(hub_upstream)
    answer = await get(bench)
    assert answer.content == old.content
    assert answer.handling.result is Result.REVALIDATED
    assert asked(hub_upstream) == ["resolve"]


async def test_a_second_tag_on_a_manifest_is_no_download(
    bench: Workbench, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    await get(bench)
    hub_upstream.put(NAME, "1.0", old)
    asked(hub_upstream)
    answer = await get(bench, tag=Tag("1.0"))
    assert answer.handling.result is Result.REVALIDATED
    assert asked(hub_upstream) == ["resolve"]


async def test_a_herd_for_a_cold_tag_is_one_head_and_one_get(
    bench: Workbench, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    answers = await asyncio.gather(*[get(bench) for _ in range(300)])
    assert {answer.content for answer in answers} == {old.content}
    assert asked(hub_upstream) == ["resolve", "manifest"]


async def test_a_herd_for_a_tag_that_moved_is_one_head_and_one_get(
    bench: Workbench, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    await get(bench)
    assert old.content == OLD.content
    new = hub_upstream.push(NAME, "latest", NEW)
    stale(bench)
    asked(hub_upstream)
    answers = await asyncio.gather(*[get(bench) for _ in range(300)])
    assert {answer.content for answer in answers} == {new.content}
    assert asked(hub_upstream) == ["resolve", "manifest"]


async def test_a_client_that_leaves_takes_the_answer_from_nobody(
    bench: Workbench, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    with hub_upstream.silent("resolve"):
        leaving, staying = asyncio.create_task(get(bench)), asyncio.create_task(get(bench))
        await hub_upstream.until_asked("resolve")
        leaving.cancel()
        await asyncio.wait({leaving})
    assert (await staying).content == old.content
    assert hub_upstream.count("resolve") == 1


# HEAD.


async def test_a_head_of_a_cold_tag_costs_no_get(
    bench: Workbench, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    answer = await head(bench)
    assert (answer.descriptor, answer.content) == (old.descriptor, None)
    assert asked(hub_upstream) == ["resolve"]
    answer = await head(bench)
    assert (answer.descriptor, answer.handling.ttl) == (old.descriptor, 300)
    assert asked(hub_upstream) == []


async def test_a_head_and_then_a_get_is_one_head_and_one_get(
    bench: Workbench, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    await head(bench)
    assert (await get(bench)).content == old.content
    assert asked(hub_upstream) == ["resolve", "manifest"]


async def test_heads_of_a_tag_that_moves_cost_no_get_either(
    bench: Workbench, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    assert (await head(bench)).descriptor == old.descriptor
    new = hub_upstream.push(NAME, "latest", NEW)
    stale(bench)
    assert (await head(bench)).descriptor == new.descriptor
    assert asked(hub_upstream) == ["resolve", "resolve"]


async def test_what_a_head_named_and_is_gone_is_asked_for_again(
    bench: Workbench, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    await head(bench)
    new = hub_upstream.push(NAME, "latest", NEW)
    del hub_upstream.manifests[NAME, old.digest]
    assert (await get(bench)).content == new.content
    assert asked(hub_upstream) == ["resolve", "manifest", "resolve", "manifest"]


async def test_a_tag_whose_manifest_nobody_has(
    bench: Workbench, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    del hub_upstream.manifests[NAME, old.digest]
    for _ in range(2):
        with pytest.raises(ManifestUnknown):
            await get(bench)
    assert hub_upstream.count("manifest") == 1


async def test_where_a_head_tells_too_little_the_get_is_the_only_one(
    bench: Workbench, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    hub_upstream.unclear_heads = True
    answer = await head(bench)
    assert answer.descriptor == old.descriptor
    assert (await get(bench)).content == old.content
    assert asked(hub_upstream) == ["resolve"]
    new = hub_upstream.push(NAME, "latest", NEW)
    stale(bench)
    answer = await get(bench)
    assert (answer.content, answer.handling.result) == (new.content, Result.MISS)
    assert asked(hub_upstream) == ["resolve"]


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


# What is not there.


async def test_an_unknown_tag_is_believed_for_a_while(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    for _ in range(3):
        with pytest.raises(ManifestUnknown):
            await get(bench)
    assert hub_upstream.count("resolve") == 1
    bench.clock.advance(timedelta(seconds=ABSENCE - 0.001))
    old = hub_upstream.push(NAME, "latest", OLD)
    with pytest.raises(ManifestUnknown):
        await get(bench)
    bench.clock.advance(timedelta(seconds=0.001))
    assert (await get(bench)).content == old.content
    assert hub_upstream.count("resolve") == 2


async def test_an_unknown_digest_is_believed_for_a_while(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    digest = digest_of(OLD.content)
    for _ in range(3):
        with pytest.raises(ManifestUnknown):
            await bench.manifests.get(MIRROR, digest)
    assert hub_upstream.count("manifest") == 1
    hub_upstream.push(NAME, None, OLD)
    bench.clock.advance(timedelta(seconds=ABSENCE))
    assert (await bench.manifests.get(MIRROR, digest)).content == OLD.content


async def test_absence_does_not_depend_on_the_wall_clock(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    with pytest.raises(ManifestUnknown):
        await get(bench)
    bench.clock.jump(timedelta(days=3650))
    with pytest.raises(ManifestUnknown):
        await get(bench)
    assert hub_upstream.count("resolve") == 1


def test_only_so_many_absences_are_remembered() -> None:
    clock = SettableClock()
    absences = Absences(clock)
    for number in range(MOST_ABSENT + 1):
        absences.add((NGINX, str(number)))
    assert not absences.holds((NGINX, "0"))
    assert absences.holds((NGINX, "1"))
    assert absences.holds((NGINX, str(MOST_ABSENT)))
    assert not absences.holds((Repository(None, NGINX.name), "1"))


# Time.


async def test_a_clock_that_jumps_back_makes_a_tag_be_asked_about(
    bench: Workbench, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    await get(bench)
    bench.clock.jump(timedelta(days=-3650))
    assert bench.manifests.peek(MIRROR, LATEST) is None
    answer = await get(bench)
    assert answer.handling.result is Result.REVALIDATED
    assert (await get(bench)).handling.result is Result.HIT
    assert (await bench.manifests.get(MIRROR, old.digest)).handling.result is Result.HIT
    assert hub_upstream.count("resolve") == 2


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


async def test_confirming_asks_whatever_the_freshness(
    bench: Workbench, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    await get(bench)
    record = await bench.manifests.confirm(NGINX, LATEST)
    assert record is not None
    assert record.descriptor == old.descriptor
    assert await bench.manifests.confirm(NGINX, Tag("other")) is None
    assert hub_upstream.count("resolve") == 3


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


async def test_freshness_of_nothing_asks_every_time(
    ground: Ground, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    bench = set_up(ground, {HUB: hub_upstream}, Habits(freshness=timedelta(0)))
    for _ in range(3):
        assert (await get(bench)).content == old.content
    assert asked(hub_upstream) == ["resolve", "manifest", "resolve", "resolve"]
    await bench.close()
