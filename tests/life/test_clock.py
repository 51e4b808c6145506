"""Clocks that jump: nothing is lost, nobody is locked out, nothing times out."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from tests.life.environment import mirror_of, stored_files
from tests.life.pulling import client_of
from tests.simulated_hub import Fault, SimulatedHub, blob, digest_of, make_image, make_index
from tests.world import SettableClock, running_mirror

NAME = "library/app"
LAYER = blob("layer", 500_000)
IMAGE = make_index([make_image(layers=[LAYER])])
OTHER = make_index([make_image(layers=[blob("other", 50_000)])])
HOUR, DECADE = timedelta(hours=1), timedelta(days=3653)
JUMPS = [HOUR, -HOUR, DECADE, -DECADE]


@pytest.mark.parametrize("jump", JUMPS, ids=str)
async def test_between_two_pulls(tmp_path: Path, hub: SimulatedHub, jump: timedelta) -> None:
    clock = SettableClock()
    hub.push(NAME, "1", IMAGE)
    async with (
        running_mirror(tmp_path, None, mirror_of(hub), clock) as mirror,
        client_of(mirror.url) as client,
    ):
        await client.pull(NAME, "1", IMAGE)
        before, tokens = stored_files(tmp_path), hub.tokens.issued

        clock.jump(jump)
        await client.pull(NAME, "1", IMAGE)
        hub.push(NAME, "2", OTHER)
        await client.pull(NAME, "2", OTHER)
        await client.session.post(f"{mirror.url}/api/v1/evict")

        assert set(before) <= set(stored_files(tmp_path))
        assert hub.count("blob", "GET", digest=digest_of(LAYER)) == 1
        # One more at most, should a token seem to have expired.
        assert hub.tokens.issued <= tokens + 1


@pytest.mark.parametrize("jump", JUMPS, ids=str)
async def test_in_the_middle_of_a_download(
    tmp_path: Path, hub: SimulatedHub, jump: timedelta
) -> None:
    clock = SettableClock()
    hub.push(NAME, "1", IMAGE)
    hub.faults.add(Fault(route="blob", kind="stall", reference=digest_of(LAYER), at=100_000))
    async with (
        running_mirror(tmp_path, None, mirror_of(hub), clock) as mirror,
        client_of(mirror.url) as client,
    ):
        download = asyncio.create_task(client.blob(NAME, digest_of(LAYER)))
        await hub.wait_for(lambda: hub.stalled == 1)
        clock.jump(jump)
        hub.release()
        assert await download == LAYER


@pytest.mark.parametrize("jump", JUMPS, ids=str)
async def test_between_two_lives(tmp_path: Path, hub: SimulatedHub, jump: timedelta) -> None:
    """A machine that starts in 1970 and hears of the time only later, or the other way round."""
    clock = SettableClock()
    hub.push(NAME, "1", IMAGE)
    for _ in range(2):
        async with (
            running_mirror(tmp_path, None, mirror_of(hub), clock) as mirror,
            client_of(mirror.url) as client,
        ):
            await client.pull(NAME, "1", IMAGE)
            await client.session.post(f"{mirror.url}/api/v1/evict")
            await client.kept()
        clock.jump(jump)
    assert hub.count("blob", "GET", digest=digest_of(LAYER)) == 1
    assert len(stored_files(tmp_path)) == 4
