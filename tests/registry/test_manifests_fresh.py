"""Tags: how often an upstream is asked what they name, and what for."""

import asyncio
from datetime import timedelta

from mirror.oci.manifest import Manifest
from mirror.oci.reference import Tag
from mirror.registry.statistics import Result
from tests.registry.moving_tag import NEW, OLD, asked, get, stale
from tests.registry.scripted_upstream import ScriptedUpstream
from tests.registry.workbench import (
    FRESH,
    HUB,
    LATEST,
    MIRROR,
    NAME,
    NGINX,
    Ground,
    Habits,
    Workbench,
    set_up,
)


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


async def test_confirming_asks_whatever_the_freshness(
    bench: Workbench, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    await get(bench)
    record = await bench.manifests.confirm(NGINX, LATEST)
    assert record is not None
    assert record.descriptor == old.descriptor
    assert await bench.manifests.confirm(NGINX, Tag("other")) is None
    assert hub_upstream.count("resolve") == 3


async def test_freshness_of_nothing_asks_every_time(
    ground: Ground, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    bench = set_up(ground, {HUB: hub_upstream}, Habits(freshness=timedelta(0)))
    for _ in range(3):
        assert (await get(bench)).content == old.content
    assert asked(hub_upstream) == ["resolve", "manifest", "resolve", "resolve"]
    await bench.close()
