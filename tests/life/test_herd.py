"""Crowds: however many want something at the same moment, the upstream hears of it once."""

import asyncio
from pathlib import Path
from typing import Literal

import pytest

from tests.life.environment import mirror_of
from tests.life.process import Nursery, order, running_server
from tests.life.pulling import Client, client_of, gather_all
from tests.simulated_hub import (
    Fault,
    Image,
    Index,
    SimulatedHub,
    blob,
    digest_of,
    make_image,
    make_index,
)
from tests.world import running_mirror

NAME = "library/app"
CLIENTS = 200
IMAGE = make_image(layers=[blob(each, 10_000 + 10_000 * each) for each in range(5)])
INDEX = make_index([IMAGE])
LARGE = make_image(layers=[blob("large", 1_500_000)])


def asked(hub: SimulatedHub, image: Image, index: Index) -> dict[str, int]:
    """How often the upstream was asked for each part of an image, whatever it answered."""
    return {
        "tag": hub.count("manifest", reference="1"),
        "index": hub.count("manifest", "GET", digest=index.digest),
        "manifest": hub.count("manifest", "GET", digest=image.digest),
        **{
            digest: hub.count("blob", "GET", digest=digest)
            for digest in (image.config, *image.layers)
        },
    }


async def test_hundreds_want_one_image_that_is_not_here(
    nursery: Nursery, tmp_path: Path, hub: SimulatedHub
) -> None:
    hub.push(NAME, "1", INDEX)
    start = asyncio.Barrier(CLIENTS)

    async def pull(client: Client) -> None:
        await start.wait()
        await client.pull(NAME, "1", INDEX)

    async with (
        running_server(nursery, order(tmp_path, mirror_of(hub))) as server,
        client_of(server.url, patience=60) as client,
    ):
        await gather_all(pull(client) for _ in range(CLIENTS))

    assert set(asked(hub, IMAGE, INDEX).values()) == {1}
    assert hub.tokens.issued == 1


async def test_the_first_one_leaves(tmp_path: Path, hub: SimulatedHub) -> None:
    """Whoever began a download has no more to do with it than the others."""
    hub.push(NAME, "1", make_index([LARGE]))
    [layer] = LARGE.layers
    path = f"/v2/{NAME}/blobs/{layer}"
    hub.faults.add(Fault(route="blob", kind="stall", reference=layer, at=300_000, times=1))
    # So slow that the mirror sees long before the end that it has left.
    hub.bandwidth = 2_000_000
    begun = asyncio.Barrier(51)

    async def follow(client: Client, url: str) -> None:
        async with client.session.get(url) as answer:
            await begun.wait()
            assert digest_of(await answer.read()) == layer

    async with (
        running_mirror(tmp_path, hub) as mirror,
        client_of(mirror.url, patience=60) as client,
    ):
        async with client.session.get(mirror.url + path) as first:
            await first.content.readexactly(100_000)
            following = asyncio.gather(*(follow(client, mirror.url + path) for _ in range(50)))
            await begun.wait()
            await hub.wait_for(lambda: hub.stalled == 1)
            first.close()
        hub.release()
        await mirror.logged(1)
        await following
    assert hub.count("blob", "GET", digest=layer) == 1


@pytest.mark.parametrize("kind", ["reset", "close"])
async def test_the_upstream_breaks_off(
    tmp_path: Path, hub: SimulatedHub, kind: Literal["reset", "close"]
) -> None:
    """Nobody notices, and what is there already is not sent again."""
    hub.push(NAME, "1", make_index([LARGE]))
    [layer] = LARGE.layers
    hub.faults.add(Fault(route="blob", kind=kind, reference=layer, at=700_000, times=1))
    async with (
        running_mirror(tmp_path, hub) as mirror,
        client_of(mirror.url, patience=60) as client,
    ):
        await gather_all(client.blob(NAME, layer) for _ in range(50))

    answered = hub.find("blob", "GET", digest=layer)
    assert [each.status for each in answered] == [200, 206]
    resumed_at = int(answered[1].headers["Range"].removeprefix("bytes=").removesuffix("-"))
    assert 0 < resumed_at <= 700_000
    assert answered[1].sent == 1_500_000 - resumed_at


async def test_ranges_of_a_download_that_has_only_begun(tmp_path: Path, hub: SimulatedHub) -> None:
    """Engines that fetch a layer in parallel parts do not fetch it many times over."""
    hub.push(NAME, "1", make_index([LARGE]))
    [layer] = LARGE.layers
    content = LARGE.blobs[layer]
    async with running_mirror(tmp_path, hub) as mirror:

        async def part(start: int, stop: int) -> None:
            reply = await mirror.get(
                f"/v2/{NAME}/blobs/{layer}", {"Range": f"bytes={start}-{stop - 1}"}
            )
            assert (reply.status, reply.body) == (206, content[start:stop])

        step = 100_000
        await gather_all(
            part(start, min(start + step, len(content)))
            for start in range(0, len(content), step)
            for _ in range(5)
        )
    assert hub.count("blob", "GET", digest=layer, status=200) == 1
    assert hub.count("blob", "GET", digest=layer, status=206) == 0
