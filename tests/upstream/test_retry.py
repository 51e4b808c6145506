"""Trying again: enough to get over a hiccup, never so much that it makes trouble worse."""

import asyncio

import pytest

from mirror.ports.upstream import (
    UpstreamDenied,
    UpstreamError,
    UpstreamFailed,
    UpstreamInvalid,
    UpstreamThrottled,
    UpstreamUnreachable,
)
from mirror.upstream.errors import LinkRefused, QuotaExhausted, UpstreamBusy
from mirror.upstream.retry import not_before, retry_delay
from tests.simulated_hub import Fault
from tests.simulated_hub.faults import Kind
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


@pytest.mark.parametrize(
    ("error", "first", "second"),
    [
        (UpstreamUnreachable("x"), 0.075, 0.3),
        (UpstreamFailed("x"), 0.075, 0.3),
        (LinkRefused("x"), 0.075, 0.3),
        (UpstreamBusy("x", 2.0), 2.0, 2.0),
        (UpstreamThrottled("x", 5.0), 5.0, 5.0),
        (QuotaExhausted("x", 1.0), 1.0, 1.0),
        (UpstreamBusy("x", 5.1), None, None),
        (UpstreamThrottled("x", 6.0), None, None),
        (UpstreamThrottled("x"), None, None),
        (UpstreamDenied("x"), None, None),
        (UpstreamInvalid("x"), None, None),
        (UpstreamError("x"), None, None),
    ],
)
def test_what_is_worth_another_attempt_and_when(
    error: UpstreamError, first: float | None, second: float | None
) -> None:
    assert retry_delay(error, 1, 0.0, 0.5) == pytest.approx(first)
    assert retry_delay(error, 2, 0.0, 0.5) == pytest.approx(second)
    assert retry_delay(error, 3, 0.0, 0.5) is None
    assert retry_delay(error, 1, 10.0, 0.5) is None


@pytest.mark.parametrize(
    ("said", "shut", "told"),
    [(None, 60.0, 60.0), (5.0, 60.0, 60.0), (60.0, 5.0, 60.0), (None, 0.0, None)],
)
def test_the_longer_of_two_pauses_is_told(
    said: float | None, shut: float, told: float | None
) -> None:
    for kind in (UpstreamThrottled, QuotaExhausted, UpstreamUnreachable, UpstreamFailed):
        error = not_before(kind("x", said), shut)
        assert type(error) is kind
        assert (str(error), error.retry_after) == ("x", told)


def test_those_who_failed_together_come_back_apart() -> None:
    delays = [retry_delay(UpstreamFailed("x"), 1, 0.0, random / 10) for random in range(10)]
    assert len(set(delays)) == 10
    assert all(delay is not None and 0.05 <= delay <= 0.1 for delay in delays)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("status", 500),
        ("status", 502),
        ("status", 503),
        ("status", 504),
        ("status", 521),
        ("reset", None),
        ("close", None),
    ],
)
async def test_a_hiccup_is_not_noticed(world: World, kind: Kind, status: int | None) -> None:
    image = push_image(world.hub)
    upstream = world.upstream()
    await upstream.resolve(NAME, LATEST)
    world.hub.faults.add(Fault(route="blob", kind=kind, status=status, times=2))
    assert await download(upstream, layer_digest(image)) == layer_bytes(image)
    assert world.slept == pytest.approx([0.075, 0.3])
    assert world.hub.count("blob") == 3
    status_now = upstream.status()
    assert (status_now.state, status_now.errors) == ("ok", 2)


async def test_three_attempts_are_all(world: World) -> None:
    image = push_image(world.hub)
    fault = world.hub.faults.add(Fault(route="blob", kind="close"))
    with pytest.raises(UpstreamUnreachable):
        await download(world.upstream(), layer_digest(image))
    # Not six: the HTTP library would like to repeat each of them.
    assert world.hub.faults.hits(fault) == 3


async def test_a_short_retry_after_is_waited_for(world: World) -> None:
    push_image(world.hub)
    world.hub.faults.add(Fault(route="manifest", kind="status", status=503, retry_after=2, times=1))
    assert await world.upstream().resolve(NAME, LATEST) is not None
    assert world.slept == [2.0]


async def test_a_long_retry_after_is_not(world: World) -> None:
    push_image(world.hub)
    world.hub.faults.add(Fault(route="manifest", kind="status", status=503, retry_after=30))
    with pytest.raises(UpstreamFailed, match="answered 503"):
        await world.upstream().resolve(NAME, LATEST)
    assert world.slept == []


@pytest.mark.parametrize("status", [400, 416, 406, 300, 304])
async def test_other_answers_are_not_asked_for_twice(world: World, status: int) -> None:
    image = push_image(world.hub)
    world.hub.faults.add(Fault(route="manifest", kind="status", status=status))
    with pytest.raises(UpstreamInvalid, match=f"answered {status}|not proper HTTP"):
        await world.upstream().get_manifest(NAME, manifest_digest(image))
    assert world.hub.count("manifest") == 1


async def test_a_dead_upstream_is_left_alone_and_answers_come_at_once(world: World) -> None:
    image = push_image(world.hub)
    upstream = world.upstream()
    await upstream.resolve(NAME, LATEST)
    fault = world.hub.faults.add(Fault(kind="status", status=502))
    for _ in range(40):
        with pytest.raises(UpstreamFailed):
            await upstream.resolve(NAME, LATEST)
        with pytest.raises(UpstreamFailed):
            await download(upstream, layer_digest(image))
    assert world.hub.faults.hits(fault) == 5
    status = upstream.status()
    assert status.state == "failing"
    assert not status.reachable
    assert status.reason is not None
    assert "answered 502" in status.reason
    assert status.retry_at is not None
    with pytest.raises(UpstreamFailed) as caught:
        await upstream.resolve(NAME, LATEST)
    assert caught.value.retry_after == (status.retry_at - world.clock.now()).total_seconds()
    world.hub.faults.clear()
    world.clock.pass_by(60)
    assert await upstream.resolve(NAME, LATEST) is not None
    assert upstream.status().reachable


async def test_a_hub_that_went_away_and_comes_back(world: World) -> None:
    push_image(world.hub)
    upstream = world.upstream()
    await upstream.resolve(NAME, LATEST)
    await world.hub.stop()
    for _ in range(3):
        with pytest.raises(UpstreamUnreachable):
            await upstream.resolve(NAME, LATEST)
    await world.hub.start()
    world.clock.pass_by(60)
    assert await upstream.resolve(NAME, LATEST) is not None


async def test_a_probe_whose_caller_leaves_is_not_the_last_one(world: World) -> None:
    push_image(world.hub)
    upstream = world.upstream()
    await upstream.resolve(NAME, LATEST)
    world.hub.faults.add(Fault(route="manifest", kind="status", status=502, times=5))
    for _ in range(2):
        with pytest.raises(UpstreamFailed):
            await upstream.resolve(NAME, LATEST)
    world.clock.pass_by(5)
    world.hub.faults.add(Fault(route="manifest", kind="stall", times=1))
    probe = asyncio.create_task(upstream.resolve(NAME, LATEST))
    await world.hub.wait_for(lambda: world.hub.stalled == 1)
    with pytest.raises(UpstreamFailed):
        await upstream.resolve(NAME, LATEST)
    probe.cancel()
    await asyncio.wait([probe])
    assert await upstream.resolve(NAME, LATEST) is not None
