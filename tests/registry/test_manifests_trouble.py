"""Upstreams in trouble, stores that fail: what is held is served, and the client is told."""

import asyncio
import errno
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from mirror.oci.digest import Digest
from mirror.oci.errors import (
    ManifestUnknown,
    OCIError,
    TooManyRequests,
    Unavailable,
    UpstreamFault,
)
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
from mirror.registry.proxied import DeletedTags
from mirror.registry.routing import Route
from mirror.registry.statistics import Result
from mirror.storage.memory import MemoryBlobStore
from tests.registry.full_facts import FullFacts
from tests.registry.scripted_upstream import ScriptedUpstream, What
from tests.registry.workbench import (
    DIRECT,
    FRESH,
    HUB,
    LATEST,
    MIRROR,
    NAME,
    NGINX,
    Ground,
    Habits,
    Workbench,
    disk_ground,
    memory_ground,
    names_in,
    set_up,
    settle,
)
from tests.simulated_hub import blob, make_image
from tests.world import SettableClock

OLD = make_image(layers=[blob("old", 1000)])
NEW = make_image(layers=[blob("new", 1000)])
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


@pytest.fixture
def old(hub_upstream: ScriptedUpstream) -> Manifest:
    return hub_upstream.push(NAME, "latest", OLD)


async def get(bench: Workbench, route: Route = MIRROR, tag: Tag = LATEST) -> ManifestAnswer:
    return await bench.manifests.resolve(route, tag, content=True)


async def pull(bench: Workbench) -> None:
    """It is here, and then the time passes after which it must be confirmed."""
    assert (await get(bench)).content == OLD.content
    bench.clock.advance(FRESH)


def is_stale_copy(answer: ManifestAnswer, reason: str) -> bool:
    handling = answer.handling
    return (
        answer.content == OLD.content
        and handling.result is Result.STALE
        and handling.ttl is None
        and handling.detail is not None
        and reason in handling.detail
    )


# The upstream.


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
    hub_upstream.trouble.clear()
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
    # Nothing of it is remembered.
    hub_upstream.trouble.clear()
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
    hub_upstream.trouble.clear()
    assert (await bench.manifests.get(MIRROR, old.digest)).content == old.content


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


# The store.


def manifest_file(root: Path, digest: Digest) -> Path:
    return root / "blobs" / digest.algorithm / digest.encoded[:2] / digest.encoded


def restarted(bench: Workbench, root: Path, upstream: ScriptedUpstream) -> Workbench:
    ground = Ground(bench.clock, disk_ground(root).store, bench.ground.facts)
    return set_up(ground, {HUB: upstream})


@pytest.mark.parametrize(
    "damage",
    [lambda content: content[:-1], lambda content: b"x" * len(content), lambda _: b""],
    ids=["short", "wrong", "empty"],
)
async def test_a_damaged_manifest_is_set_aside_and_fetched_again(
    tmp_path: Path,
    hub_upstream: ScriptedUpstream,
    old: Manifest,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[bytes], bytes],
) -> None:
    first = set_up(disk_ground(tmp_path), {HUB: hub_upstream})
    await pull(first)
    await first.close()
    place = manifest_file(tmp_path, old.digest)
    place.chmod(0o600)
    place.write_bytes(damage(old.content))
    bench = restarted(first, tmp_path, hub_upstream)
    answers = await asyncio.gather(*[get(bench) for _ in range(50)])
    assert {answer.content for answer in answers} == {old.content}
    assert hub_upstream.count("manifest") == 2
    assert names_in(tmp_path / "quarantine")[0] == f"{old.digest.encoded}.1"
    assert caplog.text.count("is damaged on disk") == 1
    await bench.close()
    later = restarted(first, tmp_path, hub_upstream)
    assert (await later.manifests.get(MIRROR, old.digest)).handling.result is Result.HIT
    await later.close()


async def test_a_damaged_manifest_that_nobody_can_give_again_is_not_served(
    tmp_path: Path, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    first = set_up(disk_ground(tmp_path), {HUB: hub_upstream})
    await pull(first)
    await first.close()
    place = manifest_file(tmp_path, old.digest)
    place.chmod(0o600)
    place.write_bytes(b"x" * old.size)
    bench = restarted(first, tmp_path, hub_upstream)
    hub_upstream.trouble.update(
        {"resolve": UpstreamFailed("500"), "manifest": UpstreamFailed("500")}
    )
    with pytest.raises(ManifestUnknown):
        await get(bench)
    with pytest.raises(UpstreamFault):
        await bench.manifests.get(DIRECT, old.digest)
    await bench.close()


async def test_a_manifest_whose_file_is_gone_is_fetched_again(
    ground: Ground, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    first = set_up(ground, {HUB: hub_upstream})
    await pull(first)
    await first.close()
    await ground.store.delete(old.digest)
    bench = set_up(ground, {HUB: hub_upstream})
    assert (await bench.manifests.get(MIRROR, old.digest)).handling.result is Result.MISS
    assert bench.has(old.digest)
    await bench.close()


def full(reached: str) -> None:
    if reached == "ingest.created":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


async def test_a_store_that_is_full_costs_the_copy(
    tmp_path: Path, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    bench = set_up(disk_ground(tmp_path, checkpoint=full), {HUB: hub_upstream})
    for _ in range(2):
        assert (await get(bench)).content == old.content
        assert (await bench.manifests.get(MIRROR, old.digest)).content == old.content
    assert not bench.has(old.digest)
    await bench.close()


async def test_a_tag_that_moves_while_the_store_is_full_is_served_as_it_is_now(
    hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    ground = memory_ground(capacity=old.size)
    bench = set_up(ground, {HUB: hub_upstream})
    await pull(bench)
    new = hub_upstream.push(NAME, "latest", NEW)
    answer = await get(bench)
    assert (answer.content, answer.handling.result) == (new.content, Result.MISS)
    assert not bench.has(new.digest)
    assert (await get(bench)).content == new.content
    await bench.close()


# The facts.


@pytest.fixture
def facts() -> FullFacts:
    return FullFacts()


@pytest.fixture
def full_bench(facts: FullFacts, hub_upstream: ScriptedUpstream) -> Workbench:
    clock = SettableClock()
    return set_up(Ground(clock, MemoryBlobStore(clock), facts), {HUB: hub_upstream})


async def test_facts_that_cannot_be_written_cost_the_facts(
    full_bench: Workbench, hub_upstream: ScriptedUpstream, facts: FullFacts, old: Manifest
) -> None:
    facts.is_full = True
    for _ in range(2):
        assert (await get(full_bench)).content == old.content
        head = await full_bench.manifests.resolve(MIRROR, LATEST, content=False)
        assert head.descriptor == old.descriptor
        by_digest = await full_bench.manifests.get(MIRROR, old.digest)
        assert by_digest.content == old.content
    facts.is_full = False
    await pull(full_bench)
    facts.is_full = True
    assert (await get(full_bench)).handling.result is Result.REVALIDATED
    new = hub_upstream.push(NAME, "latest", NEW)
    assert (await get(full_bench)).content == new.content
    hub_upstream.tags.clear()
    with pytest.raises(ManifestUnknown):
        await get(full_bench)
    await full_bench.close()


async def test_a_damaged_manifest_while_no_fact_can_be_written(
    tmp_path: Path, hub_upstream: ScriptedUpstream, facts: FullFacts, old: Manifest
) -> None:
    clock = SettableClock()
    first = set_up(Ground(clock, disk_ground(tmp_path).store, facts), {HUB: hub_upstream})
    await pull(first)
    await first.close()
    place = manifest_file(tmp_path, old.digest)
    place.chmod(0o600)
    place.write_bytes(b"x" * old.size)
    facts.is_full = True
    bench = restarted(first, tmp_path, hub_upstream)
    assert (await bench.manifests.get(MIRROR, old.digest)).content == old.content
    await bench.close()
