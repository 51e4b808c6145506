"""Pull limits and 429s: told to wait, we wait, and what does not count goes on."""

from dataclasses import replace

import pytest

from mirror.ports.upstream import UpstreamThrottled
from tests.simulated_hub import Fault, Quota
from tests.upstream.world import (
    LATEST,
    NAME,
    World,
    download,
    layer_bytes,
    layer_digest,
    manifest_digest,
    push_image,
)


async def test_the_quota_is_read_from_every_answer(world: World) -> None:
    image = push_image(world.hub)
    upstream = world.upstream()
    await upstream.resolve(NAME, LATEST)
    assert upstream.status().quota is None
    world.hub.quota = Quota(limit=100, remaining=77, window=21600, source="192.0.2.7")
    await upstream.resolve(NAME, LATEST)
    seen = upstream.status().quota
    assert seen is not None
    assert (seen.limit, seen.remaining, seen.window_seconds) == (100, 77, 21600)
    assert (seen.source, seen.observed_at) == ("192.0.2.7", world.clock.now())
    await upstream.get_manifest(NAME, manifest_digest(image))
    seen = upstream.status().quota
    assert seen is not None
    assert seen.remaining == 76
    world.clock.pass_by(21601)
    assert upstream.status().quota is None


async def test_an_exhausted_limit_stops_pulls_and_nothing_else(world: World) -> None:
    image = push_image(world.hub)
    world.hub.quota = Quota(remaining=0)
    upstream = world.upstream()
    for _ in range(20):
        with pytest.raises(UpstreamThrottled) as caught:
            await upstream.get_manifest(NAME, manifest_digest(image))
        assert "pull rate limit" in str(caught.value)
        assert await upstream.resolve(NAME, LATEST) is not None
        assert await download(upstream, layer_digest(image)) == layer_bytes(image)
    assert world.hub.count("manifest", "GET") == 1
    status = upstream.status()
    assert status.state == "throttled"
    assert not status.reachable
    assert status.retry_at is not None
    assert status.quota is not None
    assert status.quota.remaining == 0


async def test_a_head_that_speaks_of_pulls_left_ends_the_wait(world: World) -> None:
    image = push_image(world.hub)
    world.hub.quota = Quota(remaining=0)
    upstream = world.upstream()
    with pytest.raises(UpstreamThrottled):
        await upstream.get_manifest(NAME, manifest_digest(image))
    world.hub.quota = Quota(remaining=5)
    with pytest.raises(UpstreamThrottled):
        await upstream.get_manifest(NAME, manifest_digest(image))
    await upstream.resolve(NAME, LATEST)
    assert await upstream.get_manifest(NAME, manifest_digest(image)) is not None


async def test_the_upstream_says_how_long(world: World) -> None:
    image = push_image(world.hub)
    world.hub.quota = Quota(remaining=0, retry_after=120)
    upstream = world.upstream()
    with pytest.raises(UpstreamThrottled) as caught:
        await upstream.get_manifest(NAME, manifest_digest(image))
    assert caught.value.retry_after == 120.0
    world.clock.pass_by(20)
    with pytest.raises(UpstreamThrottled) as caught:
        await upstream.get_manifest(NAME, manifest_digest(image))
    assert caught.value.retry_after == 100.0
    assert world.hub.count("manifest", "GET") == 1


@pytest.mark.parametrize("is_limit", [True, False], ids=["pull limit", "anything"])
async def test_who_is_told_nothing_hears_from_the_first_429_on_when_we_ask_again(
    world: World, *, is_limit: bool
) -> None:
    image = push_image(world.hub)
    if is_limit:
        world.hub.quota = Quota(remaining=0, window=600)
    else:
        world.hub.faults.add(Fault(route="manifest", status=429))
    upstream = world.upstream()
    for passed in (0, 20, 15):
        world.clock.pass_by(passed)
        with pytest.raises(UpstreamThrottled) as caught:
            await upstream.get_manifest(NAME, manifest_digest(image))
        retry_at = upstream.status().retry_at
        assert retry_at is not None
        assert caught.value.retry_after == (retry_at - world.clock.now()).total_seconds()
    assert caught.value.retry_after == (600 if is_limit else 60) - 35
    assert world.hub.count("manifest", "GET") == 1


async def test_a_storm_of_429_is_met_with_one_probe_a_minute(world: World) -> None:
    image = push_image(world.hub)
    upstream = world.upstream()
    await upstream.resolve(NAME, LATEST)
    world.hub.abuse = True
    before = len(world.hub.requests)
    for _ in range(100):
        with pytest.raises(UpstreamThrottled):
            await upstream.resolve(NAME, LATEST)
        with pytest.raises(UpstreamThrottled):
            await download(upstream, layer_digest(image))
        world.clock.pass_by(6)
    assert len(world.hub.requests) - before <= 10
    assert world.slept == []


@pytest.mark.parametrize("route", ["ping", "token", "blob"])
async def test_a_429_of_anything_else_stops_everything(world: World, route: str) -> None:
    image = push_image(world.hub)
    fault = world.hub.faults.add(
        Fault(route=route, kind="status", status=429, before_auth=True)  # type: ignore[arg-type]  # parametrize knows no literals
    )
    upstream = world.upstream()
    with pytest.raises(UpstreamThrottled):
        await download(upstream, layer_digest(image))
    for _ in range(5):
        with pytest.raises(UpstreamThrottled):
            await upstream.resolve(NAME, LATEST)
    assert world.hub.faults.hits(fault) == 1
    assert len(world.hub.find("manifest")) == 0


async def test_a_429_that_is_over_in_a_moment_is_sat_out(world: World) -> None:
    image = push_image(world.hub)
    world.hub.faults.add(Fault(route="manifest", kind="status", status=429, retry_after=3, times=1))
    upstream = world.upstream()
    assert await upstream.get_manifest(NAME, manifest_digest(image)) is not None
    assert world.slept == [3.0]
    assert upstream.status().reachable


async def test_where_nothing_is_said_of_a_window_the_pace_is_taken_down(world: World) -> None:
    """As Amazon's public registry has it: one pull a second, and no word of when."""
    image = push_image(world.hub)
    too_fast = b'{"errors":[{"code":"toomanyrequests","message":"Rate exceeded"}]}'
    refusal = Fault(route="manifest", method="GET", status=429, body=too_fast, times=1)
    world.hub.faults.add(refusal)
    upstream = world.upstream()
    assert await upstream.get_manifest(NAME, manifest_digest(image)) is not None
    assert world.slept == [1.0]
    assert upstream.status().state == "ok"
    world.hub.faults.add(replace(refusal, times=None))
    for told in (4.0, 8.0, 16.0, 32.0, 60.0, 60.0):
        with pytest.raises(UpstreamThrottled) as caught:
            await upstream.get_manifest(NAME, manifest_digest(image))
        assert caught.value.retry_after == told
        world.clock.pass_by(told)
    assert world.slept == [1.0, 1.0, 2.0]
    world.hub.faults.clear()
    assert await upstream.get_manifest(NAME, manifest_digest(image)) is not None
    world.hub.faults.add(replace(refusal, times=1))
    assert await upstream.get_manifest(NAME, manifest_digest(image)) is not None
    assert world.slept[-1] == 1.0


@pytest.mark.parametrize("code", ["TOOMANYREQUESTS", "toomanyrequests"])
async def test_codes_are_read_in_any_case(world: World, code: str) -> None:
    image = push_image(world.hub)
    body = f'{{"errors":[{{"code":"{code}","message":"Rate exceeded"}}]}}'.encode()
    world.hub.faults.add(Fault(route="manifest", method="GET", status=429, body=body))
    upstream = world.upstream()
    with pytest.raises(UpstreamThrottled, match="Rate exceeded"):
        await upstream.get_manifest(NAME, manifest_digest(image))
    assert await upstream.resolve(NAME, LATEST) is not None
