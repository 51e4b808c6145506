"""Content that is already here: manifests per second, blobs in bytes per second."""

import hashlib
import json
from contextlib import AsyncExitStack
from pathlib import Path

from bench.load import fetch
from bench.peers import Peer, distribution, distributions, mirror, nginx
from bench.report import Row, median
from bench.world import Upstream, World, alternation, upstream
from bench.wrk import Rate, measure

NAME = "library/bench"
LAYER = 50_000_000
OPTIONS = ("--auth", "none", "--image", f"{NAME}:1={LAYER}")
"""Without tokens: not every peer takes a token server on another port."""

TARGETS = {"distribution 3": 3.0, "distribution 2.8": 8.0}


async def run(world: World) -> None:
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(upstream(*OPTIONS))
        paths = await _paths(hub)
        peers = await _start(world, hub, paths, stack)
        for name in TARGETS:
            if name not in {peer.name for peer in peers}:
                world.report.notes.append(f"{name} was not measured: it is not on this machine.")
        for peer in peers:
            await _warm(peer, paths)
        for question in ("manifest by digest", "manifest by tag"):
            await _manifests(world, peers, question, paths[question])
        await _blobs(world, peers, paths["blob"])


async def _paths(hub: Upstream) -> dict[str, str]:
    """Index by tag, image manifest by digest, and the layer."""
    index = json.loads((await _ask(hub, f"manifests/{hub.images[f'{NAME}:1']}")).decode())
    digest = index["manifests"][0]["digest"]
    manifest = json.loads((await _ask(hub, f"manifests/{digest}")).decode())
    prefix = f"/v2/{NAME}"
    return {
        "manifest by digest": f"{prefix}/manifests/{digest}",
        "manifest by tag": f"{prefix}/manifests/1",
        "blob": f"{prefix}/blobs/{manifest['layers'][0]['digest']}",
    }


async def _ask(hub: Upstream, what: str) -> bytes:
    token = await hub.token(NAME)
    return await fetch(f"{hub.origin.url}/v2/{NAME}/{what}", token)


async def _start(
    world: World, hub: Upstream, paths: dict[str, str], stack: AsyncExitStack
) -> list[Peer]:
    folder = world.folder / "cached"
    peers = [await stack.enter_async_context(mirror(folder / "mirror", hub.origin))]
    static = folder / "static"
    files = {path: await _keep(hub, path, static) for path in paths.values()}
    peers.append(await stack.enter_async_context(nginx(folder / "nginx", static, files)))
    for name, command in (await distributions()).items():
        started = distribution(name, command, folder / name.replace(" ", "-"), hub.origin)
        peers.append(await stack.enter_async_context(started))
    return peers


async def _keep(hub: Upstream, path: str, static: Path) -> str:
    """The same bytes as a file for nginx; the path it has there."""
    static.mkdir(parents=True, exist_ok=True)
    name = hashlib.sha256(path.encode()).hexdigest()
    (static / name).write_bytes(await _ask(hub, path.removeprefix(f"/v2/{NAME}/")))
    return f"/{name}"


async def _warm(peer: Peer, paths: dict[str, str]) -> None:
    for path in paths.values():
        await fetch(peer.url + peer.path(path))


async def _manifests(world: World, peers: list[Peer], question: str, path: str) -> None:
    rates = await _rates(world, peers, path, connections=32)
    ours = median([rate.requests for rate in rates["mirror"]])
    for name, measured in rates.items():
        if name == "mirror":
            continue
        theirs = median([rate.requests for rate in measured])
        target = TARGETS.get(name)
        world.report.add(
            Row(
                f"cached {question}, 32 connections",
                f"{ours:,.0f}/s",
                name,
                f"{theirs:,.0f}/s",
                ours / theirs,
                f"≥ {target:g}" if target else "",
                None if target is None else ours / theirs >= target,
            )
        )


async def _blobs(world: World, peers: list[Peer], path: str) -> None:
    rates = await _rates(world, peers, path, connections=4)
    ours = median([rate.bytes for rate in rates["mirror"]])
    for name, measured in rates.items():
        if name == "mirror":
            continue
        theirs = median([rate.bytes for rate in measured])
        compared = name == "nginx"
        world.report.add(
            Row(
                "cached 50 MB blob, 4 connections",
                f"{ours / 1e9:.2f} GB/s",
                name,
                f"{theirs / 1e9:.2f} GB/s",
                ours / theirs,
                "≥ 0.9" if compared else "",
                ours / theirs >= 0.9 if compared else None,
            )
        )


async def _rates(
    world: World, peers: list[Peer], path: str, *, connections: int
) -> dict[str, list[Rate]]:
    rates: dict[str, list[Rate]] = {peer.name: [] for peer in peers}
    for peer in alternation(world.thoroughness.rounds, peers):
        url = peer.url + peer.path(path)
        seconds = world.thoroughness.seconds
        rates[peer.name].append(await measure(url, connections=connections, seconds=seconds))
    return rates
