"""An upstream that counts pulls, hands out tokens and wants to be left alone."""

import asyncio
from collections import Counter
from datetime import timedelta
from pathlib import Path

from tests.life.environment import mirror_of
from tests.life.pulling import client_of, gather_all
from tests.simulated_hub import (
    Fault,
    Quota,
    Redirects,
    SimulatedHub,
    blob,
    digest_of,
    make_image,
    make_index,
)
from tests.world import Mirror, SettableClock, running_mirror

NAME = "library/app"
IMAGE = make_index([make_image(layers=[blob("kept", 50_000)])])
LAYER = blob("layer", 2_000_000)
LARGE = make_index([make_image(layers=[LAYER])])
PAUSE = 30
"""Seconds that the upstream wants to be left alone."""

CROWD = 60


async def crowd(mirror: Mirror, approach: str, wave: str) -> Counter[int]:
    """Many clients at once, each of whom wants another tag that is not here."""

    async def ask(number: int) -> int:
        reply = await mirror.get(f"/v2/{approach}{NAME}/manifests/{wave}-{number}")
        if reply.status == 429:
            assert 0 < int(reply.headers["Retry-After"]) <= PAUSE
        return reply.status

    return Counter(await asyncio.gather(*(ask(number) for number in range(CROWD))))


async def test_a_storm_of_refusals(tmp_path: Path, hub: SimulatedHub) -> None:
    """It is asked once in each pause it wished for, however many clients ask us meanwhile."""
    clock = SettableClock()
    hub.push(NAME, "1", IMAGE)
    async with running_mirror(tmp_path, None, mirror_of(hub), clock) as mirror:
        async with client_of(mirror.url) as client:
            await client.pull(NAME, "1", IMAGE)
        refusal = Fault(kind="status", status=429, retry_after=PAUSE, before_auth=True)
        hub.faults.add(refusal)
        assert await crowd(mirror, "", "first") == {404: CROWD}

        for interval in range(3):
            asked = len(hub.requests)
            assert await crowd(mirror, "docker.io/", f"{interval}") == {429: CROWD}
            assert len(hub.requests) == asked
            async with client_of(mirror.url) as client:
                await client.pull(NAME, "1", IMAGE)
            clock.advance(timedelta(seconds=PAUSE))
            assert await crowd(mirror, "docker.io/", f"after-{interval}") == {429: CROWD}
            assert len(hub.requests) == asked + 1

        hub.faults.clear()
        clock.advance(timedelta(seconds=PAUSE))
        hub.push(NAME, "2", LARGE)
        async with client_of(mirror.url) as client:
            await client.pull(NAME, "2", LARGE)


async def test_pulls_are_used_up(tmp_path: Path, hub: SimulatedHub) -> None:
    """Only manifests count: tags are still confirmed, and layers still come."""
    clock = SettableClock()
    hub.push(NAME, "1", IMAGE)
    hub.push(NAME, "2", LARGE)
    hub.quota = Quota(limit=100, remaining=3)
    environ = mirror_of(hub, freshness="1m")
    async with (
        running_mirror(tmp_path, None, environ, clock) as mirror,
        client_of(mirror.url) as client,
    ):
        await client.pull(NAME, "1", IMAGE)
        await client.get(f"/v2/{NAME}/manifests/{LARGE.digest}", LARGE.digest)
        assert hub.quota.remaining == 0

        [image] = LARGE.images
        refused = await mirror.get(f"/v2/docker.io/{NAME}/manifests/{image.digest}")
        assert refused.status == 429
        assert int(refused.headers["Retry-After"]) > 0
        assert (await mirror.get(f"/v2/{NAME}/manifests/{image.digest}")).status == 404
        assert await client.blob(NAME, digest_of(LAYER)) == LAYER

        clock.advance(timedelta(minutes=2))
        confirmed = await mirror.get(f"/v2/{NAME}/manifests/1")
        assert "revalidated" in confirmed.headers["Cache-Status"]
        hub.move_tag(NAME, "1", make_index([make_image(layers=[b"moved"])]))
        clock.advance(timedelta(minutes=2))
        stale = await mirror.get(f"/v2/{NAME}/manifests/1")
        assert stale.body == IMAGE.content
        assert stale.headers["Warning"].startswith("299 ")


async def test_the_token_expires_in_the_middle(tmp_path: Path, hub: SimulatedHub) -> None:
    hub.push(NAME, "1", LARGE)
    half = len(LAYER) // 2
    hub.faults.add(Fault(route="blob", reference=digest_of(LAYER), kind="stall", at=half, times=1))
    async with (
        running_mirror(tmp_path, hub) as mirror,
        client_of(mirror.url) as client,
        client.session.get(f"{mirror.url}/v2/{NAME}/blobs/{digest_of(LAYER)}") as answer,
    ):
        await hub.wait_for(lambda: hub.stalled == 1)
        begun = await answer.content.readexactly(half - 20_000)
        hub.revoke_tokens()
        await hub.stop()
        await hub.start()
        assert begun + await answer.read() == LAYER

    first, refused, resumed = hub.find("blob", "GET", digest=digest_of(LAYER))
    assert (first.status, refused.status, resumed.status) == (200, 401, 206)
    assert resumed.headers["Range"] == f"bytes={half}-"
    assert hub.tokens.issued == 2


async def test_a_signed_address_expires_in_the_middle(tmp_path: Path, hub: SimulatedHub) -> None:
    """What is resumed begins at the registry, which signs a new one."""
    hub.push(NAME, "1", LARGE)
    hub.redirects = Redirects(blobs=307)
    cut = Fault(route="cdn", kind="close", at=500_000, times=1)
    expired = Fault(route="cdn", kind="status", status=403, times=1)
    hub.faults.add(cut)
    hub.faults.add(expired)
    environ = mirror_of(hub)
    async with running_mirror(tmp_path, None, environ) as mirror, client_of(mirror.url) as client:
        assert await client.blob(NAME, digest_of(LAYER)) == LAYER

    assert [each.status for each in hub.find("cdn", "GET")] == [200, 403, 206]
    registry = hub.find("blob", "GET", digest=digest_of(LAYER), status=307)
    assert len(registry) == 3
    assert len({each.target for each in hub.find("cdn", "GET")}) == 3


async def test_one_token_for_everybody(tmp_path: Path, hub: SimulatedHub) -> None:
    images = [make_index([make_image(layers=[blob(each, 10_000)])]) for each in range(20)]
    for number, image in enumerate(images):
        hub.push(NAME, str(number), image)
    async with running_mirror(tmp_path, hub) as mirror, client_of(mirror.url) as client:
        await gather_all(client.pull(NAME, str(n), image) for n, image in enumerate(images))
    assert hub.tokens.issued == 1
