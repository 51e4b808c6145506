"""The first pull of a blob: through the mirror and directly, from an upstream of 50 MB/s."""

import json
from contextlib import AsyncExitStack

from bench.load import Download, download, fetch
from bench.peers import mirror
from bench.report import Row, median
from bench.world import World, upstream

NAME = "library/cold"
BANDWIDTH = 50_000_000
LAYER = 50_000_000
LATER = 0.010
LONGER = 1.05


async def run(world: World) -> None:
    rounds = world.thoroughness.rounds * 2
    images = [f"{NAME}:{turn}={LAYER + turn}" for turn in range(rounds)]
    options = [word for image in images for word in ("--image", image)]
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(upstream("--bandwidth", str(BANDWIDTH), *options))
        peer = await stack.enter_async_context(mirror(world.folder / "cold", hub.origin))
        direct: list[Download] = []
        through: list[Download] = []
        for turn in range(rounds):
            blob = await _layer(peer.url, turn)
            token = await hub.token(NAME)
            pair = [(direct, hub.origin.url, token), (through, peer.url, None)]
            for measured, url, authorization in pair if turn % 2 else reversed(pair):
                measured.append(await download(f"{url}/v2/{NAME}/blobs/{blob}", authorization))
    _judge(world, direct, through)


async def _layer(mirror_url: str, turn: int) -> str:
    """The digest of the layer, once the mirror has been asked for the manifests before it."""
    base = f"{mirror_url}/v2/{NAME}/manifests"
    index = json.loads(await fetch(f"{base}/{turn}"))
    manifest = json.loads(await fetch(f"{base}/{index['manifests'][0]['digest']}"))
    return str(manifest["layers"][0]["digest"])


def _judge(world: World, direct: list[Download], through: list[Download]) -> None:
    for one, other in zip(direct, through, strict=True):
        if (one.status, one.digest) != (other.status, other.digest):
            raise RuntimeError(f"the mirror sent {other}, the upstream {one}")
    ours, theirs = (median([each.first_byte for each in side]) for side in (through, direct))
    world.report.add(
        Row(
            "cold 50 MB blob, upstream at 50 MB/s: first byte",
            f"{ours * 1000:.1f} ms",
            "direct",
            f"{theirs * 1000:.1f} ms",
            None,
            "≤ direct + 10 ms",
            ours <= theirs + LATER,
        )
    )
    ours, theirs = (median([each.total for each in side]) for side in (through, direct))
    world.report.add(
        Row(
            "cold 50 MB blob, upstream at 50 MB/s: whole",
            f"{ours:.3f} s",
            "direct",
            f"{theirs:.3f} s",
            ours / theirs,
            f"≤ {LONGER}",
            ours / theirs <= LONGER,
        )
    )
