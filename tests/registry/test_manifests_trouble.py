"""Upstreams in trouble, slow or away: what is held is served, and the client is told."""

import asyncio
from datetime import timedelta

import pytest

from mirror.oci.errors import ManifestUnknown, OCIError, TooManyRequests, Unavailable, UpstreamFault
from mirror.oci.manifest import Manifest
from mirror.oci.reference import Tag
from mirror.ports.upstream import (
    UpstreamDenied,
    UpstreamError,
    UpstreamFailed,
    UpstreamInvalid,
    UpstreamThrottled,
    UpstreamUnreachable,
)
from mirror.registry.answer import ManifestAnswer
from mirror.registry.manifests import ABSENCE
from mirror.registry.proxied import DeletedTags
from mirror.registry.routing import Route
from mirror.registry.statistics import Result
from tests.registry.moving_tag import NEW, OLD, get, is_stale_copy, pull
from tests.registry.scripted_download import What
from tests.registry.scripted_upstream import ScriptedUpstream
from tests.registry.workbench import (
    DIRECT,
    HUB,
    LATEST,
    MIRROR,
    NAME,
    NGINX,
    Ground,
    Habits,
    Workbench,
    set_up,
    settle,
)

QUICKLY = timedelta(milliseconds=20)

TROUBLES = [
    (UpstreamUnreachable("no answer"), Unavailable),
    (UpstreamDenied("not for us"), ManifestUnknown),
    (UpstreamThrottled("too many", 7), TooManyRequests),
    (UpstreamFailed("500"), UpstreamFault),
    (UpstreamInvalid("html"), UpstreamFault),
]
every_trouble = pytest.mark.parametrize(
    ("error", "refusal"), TROUBLES, ids=[type(error).__name__ for error, _ in TROUBLES]
)


# Trouble.


def get_over(bench: Workbench, upstream: ScriptedUpstream, error: UpstreamError) -> None:
    """The trouble ends. Nothing of it is remembered, except for a while what is not for us."""
    upstream.trouble.clear()
    if isinstance(error, UpstreamDenied):
        bench.clock.advance(timedelta(seconds=ABSENCE))


@every_trouble
@pytest.mark.parametrize("route", [MIRROR, DIRECT], ids=["mirror", "direct"])
async def test_a_copy_is_served_whatever_the_trouble(
    bench: Workbench,
    hub_upstream: ScriptedUpstream,
    old: Manifest,
    error: UpstreamError,
    refusal: type[OCIError],
    route: Route,
) -> None:
    await pull(bench)
    hub_upstream.trouble["resolve"] = error
    for content in (True, False):
        answer = await bench.manifests.resolve(route, LATEST, content=content)
        assert is_stale_copy(answer, str(error))
        assert "confirmed 5 minutes ago" in str(answer.handling.detail)
    assert issubclass(refusal, OCIError)
    get_over(bench, hub_upstream, error)
    answer = await get(bench)
    assert (answer.handling.result, answer.descriptor) == (Result.REVALIDATED, old.descriptor)


@every_trouble
@pytest.mark.parametrize("what", ["resolve", "manifest"])
async def test_without_a_copy_the_client_hears_what_it_needs_to(
    bench: Workbench,
    hub_upstream: ScriptedUpstream,
    old: Manifest,
    error: UpstreamError,
    refusal: type[OCIError],
    what: What,
) -> None:
    hub_upstream.trouble[what] = error
    with pytest.raises(ManifestUnknown, match=str(error)):
        await get(bench, MIRROR)
    with pytest.raises(refusal, match=str(error)):
        await get(bench, DIRECT)
    get_over(bench, hub_upstream, error)
    assert (await get(bench)).content == old.content


@every_trouble
async def test_a_digest_that_cannot_be_fetched(
    bench: Workbench,
    hub_upstream: ScriptedUpstream,
    old: Manifest,
    error: UpstreamError,
    refusal: type[OCIError],
) -> None:
    hub_upstream.trouble["manifest"] = error
    with pytest.raises(ManifestUnknown, match=str(error)):
        await bench.manifests.get(MIRROR, old.digest)
    with pytest.raises(refusal, match=str(error)):
        await bench.manifests.get(DIRECT, old.digest)
    get_over(bench, hub_upstream, error)
    assert (await bench.manifests.get(MIRROR, old.digest)).content == old.content


# Slowness.


async def test_a_slow_upstream_is_waited_for_in_the_background(
    ground: Ground, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    bench = set_up(ground, {HUB: hub_upstream}, Habits(stale_after=QUICKLY))
    await pull(bench)
    new = hub_upstream.push(NAME, "latest", NEW)
    with hub_upstream.silent("resolve"):
        for _ in range(3):
            assert is_stale_copy(await get(bench), "slow")
        assert hub_upstream.count("resolve") == 2, "one for the pull, one for all of these"
    await hub_upstream.until_asked("manifest", 2)
    await settle(200)
    answer = await until_hit(bench)
    assert answer.content == new.content
    assert hub_upstream.count("resolve") == 2
    assert old.content != new.content
    await bench.close()


async def until_hit(bench: Workbench) -> ManifestAnswer:
    """Joins the check that runs, if it still does."""
    answer = await get(bench)
    while answer.handling.result is Result.STALE:
        answer = await get(bench)
    return answer


async def test_a_cold_tag_waits_for_a_slow_upstream(
    ground: Ground, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    bench = set_up(ground, {HUB: hub_upstream}, Habits(stale_after=timedelta(0)))
    with hub_upstream.silent("resolve"):
        client = asyncio.create_task(get(bench))
        await hub_upstream.until_asked("resolve")
        await settle()
        assert not client.done()
    assert (await client).content == old.content
    await bench.close()


async def test_a_check_in_the_background_that_fails_is_no_leak(
    ground: Ground, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    bench = set_up(ground, {HUB: hub_upstream}, Habits(stale_after=QUICKLY))
    await pull(bench)
    assert old.content == OLD.content
    with hub_upstream.silent("resolve"):
        assert is_stale_copy(await get(bench), "slow")
        hub_upstream.trouble["resolve"] = UpstreamFailed("500")
    await settle()
    await bench.close()


async def test_closing_ends_what_runs_in_the_background(
    ground: Ground, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    bench = set_up(ground, {HUB: hub_upstream}, Habits(stale_after=QUICKLY))
    await pull(bench)
    assert old.content == OLD.content
    before = asyncio.all_tasks()
    with hub_upstream.silent("resolve"):
        assert is_stale_copy(await get(bench), "slow")
        assert asyncio.all_tasks() > before
        await bench.close()
        assert asyncio.all_tasks() == before


# What is gone.


async def test_the_old_one_stays_until_the_new_one_is_here(
    bench: Workbench, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    await pull(bench)
    new = hub_upstream.push(NAME, "latest", NEW)
    hub_upstream.trouble["manifest"] = UpstreamThrottled("too many")
    for _ in range(3):
        assert is_stale_copy(await get(bench), "too many")
        record = await bench.facts.get_tag(NGINX, LATEST)
        assert record is not None
        assert record.descriptor.digest == old.digest
    hub_upstream.trouble.clear()
    assert (await get(bench)).content == new.content


async def test_the_old_one_stays_when_the_new_one_is_nowhere(
    bench: Workbench, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    await pull(bench)
    new = hub_upstream.push(NAME, "latest", NEW)
    del hub_upstream.manifests[NAME, new.digest]
    for _ in range(3):
        assert is_stale_copy(await get(bench), "does not have")
    assert (await bench.manifests.get(MIRROR, old.digest)).content == old.content


async def test_a_deleted_tag_is_not_found(
    bench: Workbench, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    await pull(bench)
    hub_upstream.tags.clear()
    with pytest.raises(ManifestUnknown, match="deleted"):
        await get(bench)
    assert await bench.facts.get_tag(NGINX, LATEST) is None
    with pytest.raises(ManifestUnknown):
        await get(bench)
    assert hub_upstream.count("resolve") == 2
    assert (await bench.manifests.get(MIRROR, old.digest)).content == old.content


async def test_a_deleted_tag_is_kept_where_that_is_wanted(
    ground: Ground, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    bench = set_up(ground, {HUB: hub_upstream}, Habits(deleted_tags=DeletedTags.KEEP))
    await pull(bench)
    hub_upstream.tags.clear()
    for _ in range(3):
        assert is_stale_copy(await get(bench), "deleted this tag")
    assert hub_upstream.count("resolve") == 2
    with pytest.raises(ManifestUnknown):
        await get(bench, tag=Tag("never-seen"))
    hub_upstream.put(NAME, "latest", old)
    bench.clock.advance(timedelta(seconds=15))
    assert (await get(bench)).handling.result is Result.REVALIDATED
    await bench.close()


async def test_offline(ground: Ground, hub_upstream: ScriptedUpstream, old: Manifest) -> None:
    online = set_up(ground, {HUB: hub_upstream})
    await pull(online)
    hub_upstream.put(NAME, "headed", Manifest(old.media_type, old.digest, old.content))
    other = hub_upstream.push(NAME, "only-headed", NEW)
    await online.manifests.resolve(MIRROR, Tag("only-headed"), content=False)
    await online.close()
    hub_upstream.asked.clear()
    bench = set_up(ground, {HUB: hub_upstream}, Habits(offline=True))
    assert is_stale_copy(await get(bench), "offline")
    assert (await bench.manifests.get(MIRROR, old.digest)).handling.result is Result.HIT
    for tag in (Tag("headed"), Tag("only-headed")):
        for content in (True, False):
            with pytest.raises(ManifestUnknown, match="offline"):
                await bench.manifests.resolve(MIRROR, tag, content=content)
            with pytest.raises(Unavailable, match="offline"):
                await bench.manifests.resolve(DIRECT, tag, content=content)
    with pytest.raises(ManifestUnknown, match="offline"):
        await bench.manifests.get(MIRROR, other.digest)
    assert hub_upstream.asked == []
    await bench.close()
