"""Two hundred clients want the same cold content at once: how often is the upstream asked?"""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass

from bench.load import download
from bench.peers import Origin, Peer, distribution, distributions, mirror
from bench.report import Row
from bench.world import World
from tests.simulated_hub import Image, SimulatedHub, blob, make_image, make_index

NAME = "library/herd"
CLIENTS = 200
LAYER = 20_000_000


async def run(world: World) -> None:
    image = make_image(layers=[blob("herd", LAYER)])
    async with SimulatedHub() as hub, AsyncExitStack() as stack:
        hub.push(NAME, "1", make_index([image]))
        origin = Origin(hub.url, hub.token_host)
        folder = world.folder / "herd"
        peer = await stack.enter_async_context(mirror(folder / "mirror", origin))
        ours = await _count(hub, peer, image)
        world.report.add(_row("mirror", ours, target=True))
        for name, command in (await distributions()).items():
            # Not every peer takes a token server on another port.
            hub.tokens.mode = "none"
            hub.requests.clear()
            started = distribution(name, command, folder / name.replace(" ", "-"), origin)
            async with started as other:
                world.report.add(_row(name, await _count(hub, other, image), target=False))


@dataclass(frozen=True, slots=True)
class Herd:
    """Requests that reached the upstream, and clients that did not get what they asked for."""

    blobs: int
    manifests: int
    tokens: int
    failed: int


async def _count(hub: SimulatedHub, peer: Peer, image: Image) -> Herd:
    layer = image.layers[0]
    failed = await _all(f"{peer.url}/v2/{NAME}/manifests/1")
    failed += await _all(f"{peer.url}/v2/{NAME}/blobs/{layer}", layer)
    return Herd(
        hub.count("blob", "GET", digest=layer) - hub.count("blob", "GET", digest=layer, status=401),
        hub.count("manifest") - hub.count("manifest", status=401),
        hub.count("token"),
        failed,
    )


async def _all(url: str, digest: str | None = None) -> int:
    answers = await asyncio.gather(*(download(url) for _ in range(CLIENTS)))
    return sum(each.status != 200 or digest not in {None, each.digest} for each in answers)


def _row(name: str, herd: Herd, *, target: bool) -> Row:
    text = f"{herd.blobs} blob GETs, {herd.manifests} manifest requests, {herd.tokens} tokens"
    if herd.failed:
        text += f", {herd.failed} clients failed"
    scenario = f"{CLIENTS} clients, one cold tag, then one cold 20 MB blob"
    if not target:
        return Row(scenario, "", name, text)
    # One HEAD and one GET for the tag's manifest.
    good = herd.blobs == 1 and herd.manifests <= 2 and herd.tokens == 1 and not herd.failed
    return Row(scenario, text, "", "", None, "1 GET, 1 HEAD + 1 GET, 1 token", good)
