"""Three hundred clients ask for a cached blob and never read: what does it cost, and whom?"""

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path

from bench.load import download, fetch, stalled_reader
from bench.peers import Peer, mirror, nginx
from bench.processes import resident_bytes
from bench.report import Row, median
from bench.world import World, upstream

NAME = "library/stalled"
LAYER = 20_000_000
CLIENTS = 300
HEALTHY = 200
WINDOWS = 9
MEMORY = 200 * 1024**2
SCENARIO = f"{CLIENTS} clients that never read a cached 20 MB blob"


async def run(world: World) -> None:
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(upstream("--image", f"{NAME}:1={LAYER}"))
        peer = await stack.enter_async_context(mirror(world.folder / "stalled", hub.origin))
        base = f"{peer.url}/v2/{NAME}"
        index = json.loads(await fetch(f"{base}/manifests/1"))
        manifest_url = f"{base}/manifests/{index['manifests'][0]['digest']}"
        layer = json.loads(await fetch(manifest_url))["layers"][0]["digest"]
        blob_url = f"{base}/blobs/{layer}"
        await fetch(blob_url)
        idle = await _worst(manifest_url)
        buffers = _kernel_bytes()
        stalled = [await stalled_reader(blob_url) for _ in range(CLIENTS)]
        await _settled(peer)
        busy = await _worst(manifest_url)
        resident, held = resident_bytes(peer.pid), _kernel_bytes() - buffers
        for writer in stalled:
            writer.transport.abort()
        theirs = await _held_by_nginx(world, await fetch(blob_url), layer, stack)
    _judge(world, idle, busy, resident)
    world.report.add(
        Row(
            f"{SCENARIO}: kernel buffers of each",
            f"{held / CLIENTS / 1024:.0f} KiB",
            "nginx",
            f"{theirs / CLIENTS / 1024:.0f} KiB",
            held / theirs,
        )
    )


async def _held_by_nginx(world: World, content: bytes, name: str, stack: AsyncExitStack) -> int:
    """What the same clients make the kernel hold for a server that does not cap it."""
    root = world.folder / "stalled" / "static"
    root.mkdir()
    (root / "blob").write_bytes(content)
    peer = await stack.enter_async_context(nginx(root.with_name("nginx"), root, {name: "/blob"}))
    await _settled(peer)
    before = _kernel_bytes()
    stalled = [await stalled_reader(peer.url + peer.path(name)) for _ in range(CLIENTS)]
    await _settled(peer)
    held = _kernel_bytes() - before
    for writer in stalled:
        writer.transport.abort()
    return held


async def _worst(url: str) -> float:
    """The worst of a healthy client's latencies, in seconds: of several windows the middle one,
    because a single hiccup of the machine is no property of the server.
    """
    return median([await _worst_of_window(url) for _ in range(WINDOWS)])


async def _worst_of_window(url: str) -> float:
    return max([(await download(url)).total for _ in range(HEALTHY)])


async def _settled(peer: Peer) -> None:
    """Until memory and kernel buffers stop growing."""
    before = (-1, -1)
    while (now := (resident_bytes(peer.pid), _kernel_bytes())) != before:
        before = now
        await asyncio.sleep(0.5)


def _kernel_bytes() -> int:
    """Pages of TCP buffers on this machine, both directions, in bytes."""
    for line in Path("/proc/net/sockstat").read_text(encoding="ascii").splitlines():
        if line.startswith("TCP:"):
            words = line.split()
            return int(words[words.index("mem") + 1]) * 4096
    return 0


def _judge(world: World, idle: float, busy: float, resident: int) -> None:
    world.report.add(
        Row(
            f"{SCENARIO}: resident memory",
            f"{resident / 1024**2:.0f} MiB",
            "",
            "",
            None,
            "≤ 200 MiB",
            resident <= MEMORY,
        )
    )
    world.report.add(
        Row(
            f"{SCENARIO}: worst latency of a healthy one",
            f"{busy * 1000:.1f} ms",
            "idle",
            f"{idle * 1000:.1f} ms",
            busy / idle,
            "≤ 2",
            busy / idle <= 2,
        )
    )
