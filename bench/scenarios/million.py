"""A million cached blobs: how long the start and an eviction pass take, and what pulls notice."""

import asyncio
import json
import sqlite3
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench.load import download, fetch
from bench.metadata_million import MILLION, build
from bench.peers import Peer, mirror
from bench.report import Row
from bench.world import Upstream, World, upstream

NAME = "library/healthy"
START_WITHIN = 3.0
PASS_WITHIN = 10.0
TIMES_IDLE = 3.0
UNHARMED = 0.010
"""Seconds: nobody notices that a small answer takes as long, whatever it takes when all is idle."""

SHARE = 0.05
"""Of the bytes stored, this much goes by default: from cache.max_size to cache.low_watermark."""

PULLS = 300


@dataclass(slots=True)
class Pulls:
    """Seconds that a healthy client's pulls of a cached manifest and config took."""

    seconds: list[float] = field(default_factory=list)

    @property
    def p99(self) -> float:
        return statistics.quantiles(self.seconds, n=100)[98]


async def run(world: World) -> None:
    folder = world.folder / "million"
    data = folder / "data"
    data.mkdir(parents=True)
    await build(data / "metadata.db", MILLION)
    stored = _stored_bytes(data / "metadata.db")
    async with upstream("--image", f"{NAME}:1=1000") as hub:
        started, idle = await _undisturbed(folder, hub)
        passed, busy = await _evicting(folder, hub, stored)
    evicted = MILLION - _count(data / "metadata.db")
    _judge(world, started, passed, idle, busy, evicted)


async def _undisturbed(folder: Path, hub: Upstream) -> tuple[float, Pulls]:
    """Seconds from starting the process to readiness, and pulls while nothing else happens."""
    begun = time.perf_counter()
    async with mirror(folder, hub.origin, {"MIRROR__CACHE__MAX_SIZE": "9000TiB"}) as peer:
        await fetch(f"{peer.url}/readyz")
        started = time.perf_counter() - begun
        urls = await _pulled(peer)
        pulls = Pulls()
        for _ in range(PULLS):
            await _pull(urls, pulls)
    return started, pulls


async def _evicting(folder: Path, hub: Upstream, stored: int) -> tuple[float, Pulls]:
    """Seconds that the pass took which the start under a lower limit brings about."""
    limits = {"MIRROR__CACHE__MAX_SIZE": str(stored - 1)}
    async with mirror(folder, hub.origin, limits) as peer:
        begun = time.perf_counter()
        urls = await _pulled(peer)
        pulls = Pulls()
        async with _pulling(urls, pulls):
            await _below(peer, int(stored * (1 - SHARE)) + 1)
            passed = time.perf_counter() - begun
    return passed, pulls


async def _below(peer: Peer, size: int) -> None:
    async with asyncio.timeout(300):
        while True:
            stats = json.loads(await fetch(f"{peer.url}/api/v1/stats"))
            if stats["storage"]["bytes"] <= size:
                return
            await asyncio.sleep(1)


async def _pulled(peer: Peer) -> tuple[str, ...]:
    """A real image, pulled once so that it is cached: its manifest and its config."""
    base = f"{peer.url}/v2/{NAME}"
    index = json.loads(await fetch(f"{base}/manifests/1"))
    manifest_url = f"{base}/manifests/{index['manifests'][0]['digest']}"
    config_url = f"{base}/blobs/{json.loads(await fetch(manifest_url))['config']['digest']}"
    await fetch(config_url)
    return manifest_url, config_url


async def _pull(urls: tuple[str, ...], pulls: Pulls) -> None:
    for url in urls:
        answer = await download(url)
        if answer.status != 200:
            raise RuntimeError(f"a cached pull failed: {answer}")
        pulls.seconds.append(answer.total)


@asynccontextmanager
async def _pulling(urls: tuple[str, ...], pulls: Pulls) -> AsyncIterator[None]:
    """Pull over and over meanwhile, with short rests."""

    async def go_on() -> None:
        while True:
            await _pull(urls, pulls)
            await asyncio.sleep(0.01)

    task = asyncio.create_task(go_on())
    try:
        yield
    finally:
        if task.done():
            task.result()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _stored_bytes(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT sum(size) FROM blobs").fetchone()[0])


def _count(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM blobs").fetchone()[0])


def _judge(
    world: World, started: float, passed: float, idle: Pulls, busy: Pulls, evicted: int
) -> None:
    world.report.add(
        Row(
            "1,000,000 cached blobs: start to ready",
            f"{started:.2f} s",
            "",
            "",
            None,
            f"≤ {START_WITHIN:g} s",
            started <= START_WITHIN,
        )
    )
    world.report.add(
        Row(
            f"1,000,000 cached blobs: eviction pass, {evicted:,} go",
            f"{passed:.1f} s",
            "",
            "",
            None,
            f"≤ {PASS_WITHIN:g} s",
            passed <= PASS_WITHIN,
        )
    )
    world.report.add(
        Row(
            "1,000,000 cached blobs: p99 of cached pulls during the pass",
            f"{busy.p99 * 1000:.1f} ms",
            "idle",
            f"{idle.p99 * 1000:.1f} ms",
            busy.p99 / idle.p99,
            f"≤ {TIMES_IDLE:g} times idle, or {UNHARMED * 1000:g} ms",
            busy.p99 <= max(TIMES_IDLE * idle.p99, UNHARMED),
        )
    )
