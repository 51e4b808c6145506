"""Pushing: a layer of 500 MB, and a hundred small images at once."""

import asyncio
import contextlib
import hashlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.peers import Peer, distribution, distributions, mirror
from bench.processes import resident_bytes
from bench.report import Row, median
from bench.upload import Pusher, push_file, push_image
from bench.world import World, alternation, upstream

LAYER = 500_000_000
PIECE = 1_000_000
IMAGES = 100
SMALL_LAYERS, SMALL_SIZE = 2, 10_000
FASTER = 2.0
FLAT = 32 * 1024**2
"""Bytes that the server may grow by while half a gigabyte goes through it."""

NAME = "push/bench/image"
"""Of three components, so that it is hosted without being declared."""


@dataclass(slots=True)
class Pushed:
    """Of one server: bytes a second, images a second, and bytes of memory it grew by."""

    peer: Peer
    speeds: list[float]
    rates: list[float]
    growths: list[float]


async def run(world: World) -> None:
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(upstream("--image", "library/unused:1=1000"))
        ours = mirror(world.folder / "push-mirror", hub.origin)
        servers = [_pushed(await stack.enter_async_context(ours))]
        for name, command in (await distributions()).items():
            if name == "distribution 3":
                theirs = distribution(name, command, world.folder / "push-distribution", None)
                servers.append(_pushed(await stack.enter_async_context(theirs)))
        for server in servers:  # what a first push sets up is not measured
            await _push_images(server.peer, 4)
        for server in alternation(world.thoroughness.rounds, servers):
            await _measure(world, server)
    _judge(world, servers)


def _pushed(peer: Peer) -> Pushed:
    return Pushed(peer, [], [], [])


async def _measure(world: World, server: Pushed) -> None:
    path = world.folder / "layer"
    digest = await asyncio.to_thread(_make_layer, path)
    before = resident_bytes(server.peer.pid)
    async with _watching(server.peer.pid) as highest:
        took = await _timed(lambda: _push_layer(server.peer, path, digest))
    server.speeds.append(LAYER / took)
    server.growths.append(max(highest()) - before)
    server.rates.append(IMAGES / await _timed(lambda: _push_images(server.peer, IMAGES)))
    path.unlink()


def _make_layer(path: Path) -> str:
    """Of bytes that nobody has yet; its digest."""
    piece, hasher = os.urandom(PIECE), hashlib.sha256()
    with path.open("wb") as file:
        for number in range(LAYER // PIECE):
            content = number.to_bytes(8, "big") + piece[8:]
            hasher.update(content)
            file.write(content)
    return f"sha256:{hasher.hexdigest()}"


async def _push_layer(peer: Peer, path: Path, digest: str) -> None:
    pusher = await Pusher.connect(peer.url)
    try:
        await push_file(pusher, NAME, path, digest)
    finally:
        pusher.close()


async def _push_images(peer: Peer, count: int) -> None:
    async def push(number: int) -> None:
        pusher = await Pusher.connect(peer.url)
        try:
            await push_image(pusher, NAME, f"t{number}", SMALL_LAYERS, SMALL_SIZE)
        finally:
            pusher.close()

    await asyncio.gather(*(push(number) for number in range(count)))


async def _timed(work: Callable[[], Awaitable[None]]) -> float:
    begun = time.perf_counter()
    await work()
    return time.perf_counter() - begun


@asynccontextmanager
async def _watching(pid: int) -> AsyncIterator[Callable[[], list[int]]]:
    """The memory of a process, looked at ten times a second."""
    seen = [resident_bytes(pid)]

    async def watch() -> None:
        while True:
            await asyncio.sleep(0.1)
            seen.append(resident_bytes(pid))

    task = asyncio.create_task(watch())
    try:
        yield lambda: seen
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _judge(world: World, servers: list[Pushed]) -> None:
    ours, peers = servers[0], servers[1:]
    for theirs in peers:
        speed, peer_speed = median(ours.speeds), median(theirs.speeds)
        rate, peer_rate = median(ours.rates), median(theirs.rates)
        megabytes = "push of a 500 MB layer"
        world.report.add(
            Row(
                megabytes,
                f"{speed / 1e6:.0f} MB/s",
                theirs.peer.name,
                f"{peer_speed / 1e6:.0f} MB/s",
                speed / peer_speed,
                "≥ 1",
                speed >= peer_speed,
            )
        )
        world.report.add(
            Row(
                f"{IMAGES} parallel pushes of small images",
                f"{rate:.0f} images/s",
                theirs.peer.name,
                f"{peer_rate:.0f} images/s",
                rate / peer_rate,
                f"≥ {FASTER:g}",
                rate >= FASTER * peer_rate,
            )
        )
    growth = max(ours.growths)
    theirs_grew = f"{max(peers[0].growths) / 2**20:.0f} MiB" if peers else ""
    world.report.add(
        Row(
            "push of a 500 MB layer: growth of the server's memory",
            f"{growth / 2**20:.0f} MiB",
            peers[0].peer.name if peers else "",
            theirs_grew,
            None,
            f"≤ {FLAT / 2**20:.0f} MiB",
            growth <= FLAT,
        )
    )
