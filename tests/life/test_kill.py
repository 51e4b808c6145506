"""kill -9 at any moment: the next start needs nobody's help and serves nothing but the truth."""

import asyncio
import os
import random
import re
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from tests.life.aftermath import inspect
from tests.life.environment import mirror_of
from tests.life.process import Nursery, Server, listening, order, running_program, running_server
from tests.life.pulling import BROKEN, Client, PullFailed, client_of, gather_all
from tests.life.tracing import traced
from tests.requirements import needs_strace
from tests.simulated_hub import Fault, Index, SimulatedHub, blob, digest_of, make_image, make_index

KILLS = int(os.environ.get("LIFE_KILLS", "0"))
BUDGET = 12.0
"""Seconds for the usual number of kills."""

SEED = int(os.environ.get("LIFE_SEED", "20260101"))

BASE = blob("base", 150_000)
NAMES = tuple(f"library/app{number}" for number in range(4))
VERSIONS: Mapping[str, tuple[Index, ...]] = {
    name: tuple(
        make_index([make_image(layers=[BASE, blob(f"{name} {version}", 400_000 * (1 + version))])])
        for version in range(2)
    )
    for name in NAMES
}


def contents_of(hub: SimulatedHub) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for repository in hub.repositories.by_name.values():
        found |= repository.blobs
        found |= {digest: each.content for digest, each in repository.manifests.items()}
    return found


def dice(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - it chooses moments, and the same ones again


class Load:
    """Clients that pull, resume, leave early and administer, until the server is gone."""

    def __init__(self, server: Server, hub: SimulatedHub, seed: int) -> None:
        self.asked = 0
        self.is_over = False
        self._server = server
        self._hub = hub
        self._random = dice(seed)

    async def run(self, clients: int = 6) -> None:
        async with client_of(self._server.url, patience=10) as client:
            try:
                await gather_all(self._go_on(client) for _ in range(clients))
            finally:
                self.asked = sum(
                    times for path, times in client.sent.items() if path.startswith("/v2/")
                )

    async def _go_on(self, client: Client) -> None:
        while not self.is_over:
            action = self._random.choice(
                (self._pull, self._pull, self._pull, self._move_and_pull, self._leave, self._evict)
            )
            try:
                await action(client)
            except (PullFailed, *BROKEN):
                if not self.is_over:
                    raise

    async def _pull(self, client: Client) -> None:
        name = self._random.choice(NAMES)
        digest = await client.resolve(name, "1")
        [image] = [each for each in VERSIONS[name] if each.digest == digest]
        await client.pull_content(name, image)

    async def _move_and_pull(self, client: Client) -> None:
        name = self._random.choice(NAMES)
        self._hub.move_tag(name, "1", self._random.choice(VERSIONS[name]))
        await self._pull(client)

    async def _leave(self, client: Client) -> None:
        name = self._random.choice(NAMES)
        digest = digest_of(blob(f"{name} 1", 800_000))
        headers = {"Range": f"bytes={self._random.randrange(800_000)}-"}
        async with client.session.get(
            f"{client.url}/v2/{name}/blobs/{digest}", headers=headers
        ) as answer:
            assert answer.status == 206
            await answer.content.read(1000)
            answer.close()

    async def _evict(self, client: Client) -> None:
        async with client.session.post(f"{client.url}/api/v1/evict") as answer:
            assert answer.status == 200, await answer.text()


async def test_at_any_moment(nursery: Nursery, tmp_path: Path, hub: SimulatedHub) -> None:
    """Many lives under load on one folder. LIFE_SEED repeats the same choices."""
    data = tmp_path / "data"
    for name in NAMES:
        for image in VERSIONS[name]:
            hub.push(name, "1", image)
    hub.bandwidth = 4_000_000
    environ = mirror_of(hub, freshness="0s", more={"MIRROR__CACHE__MAX_SIZE": "3MB"})
    ended = time.monotonic() + BUDGET
    asked = remembered = lives = 0
    while lives < (KILLS or 24) and (KILLS or time.monotonic() < ended):
        lives += 1
        moments = dice(SEED + lives)
        async with running_server(nursery, order(data, environ)) as server:
            async with client_of(server.url) as client:
                before, remembered = remembered, sum((await client.stats())["requests"].values())
            assert before <= remembered <= asked
            load = Load(server, hub, SEED + lives)
            running = asyncio.create_task(load.run())
            await asyncio.wait({running}, timeout=moments.uniform(0.02, 0.5))
            load.is_over = True
            await server.program.kill()
            await running
            asked += load.asked
        inspect(data, contents_of(hub))
    assert lives >= 3

    hub.bandwidth = None
    async with running_server(nursery, order(data, environ)) as server:
        async with client_of(server.url) as client:
            for name in NAMES:
                await client.resolve(name, "1")
                for image in VERSIONS[name]:
                    await client.pull_content(name, image)
        assert await server.program.stop() == 0
    inspect(data, contents_of(hub))
    assert list((data / "quarantine").iterdir()) == []


async def test_in_the_middle_of_a_download(
    nursery: Nursery, tmp_path: Path, hub: SimulatedHub
) -> None:
    """The next server asks only for what the last one did not get."""
    layer = blob("layer", 3_000_000)
    digest = digest_of(layer)
    hub.push(NAMES[0], "1", make_index([make_image(layers=[layer])]))
    stall = hub.faults.add(Fault(route="blob", reference=digest, kind="stall", at=2_000_000))
    async with (
        running_server(nursery, order(tmp_path, mirror_of(hub))) as server,
        client_of(server.url) as client,
        client.session.get(f"{server.url}/v2/{NAMES[0]}/blobs/{digest}") as answer,
    ):
        await answer.content.readexactly(1_500_000)
        await server.program.kill()
        with pytest.raises(BROKEN):
            await answer.read()
    [partial] = (tmp_path / "ingest").iterdir()
    kept = partial.stat().st_size
    assert 1_500_000 <= kept <= 2_000_000

    hub.faults.remove(stall)
    async with (
        running_server(nursery, order(tmp_path, mirror_of(hub))) as server,
        client_of(server.url) as client,
    ):
        assert await client.blob(NAMES[0], digest) == layer
        [resumed] = hub.find("blob", "GET", digest=digest, status=206)
        assert resumed.headers["Range"] == f"bytes={kept}-"
        assert hub.count("blob", "GET", digest=digest) == 2


# At a system call.

CALLS = (
    "pwrite64",
    "pwritev2",
    "fsync",
    "fdatasync",
    "rename",
    "unlink",
    "ftruncate",
    "fchmod",
    "mkdir",
)


async def live(nursery: Nursery, data: Path, hub: SimulatedHub, *tracing: str) -> int:
    """A start, a pull, an eviction and a stop, unless tracing ends it before; how it ended."""
    environ = mirror_of(hub, more={"MIRROR__CACHE__MAX_SIZE": "500kB"})
    halted = order(data, environ, is_halted=True)
    trace = data.parent / "trace"
    async with running_program(nursery, halted) as program, traced(program, trace, *tracing):
        with suppress(AssertionError, PullFailed, *BROKEN):
            server = await listening(program)
            async with client_of(server.url, patience=10) as client:
                await client.pull(NAMES[0], "1", VERSIONS[NAMES[0]][0])
                await client.pull(NAMES[1], "1", VERSIONS[NAMES[1]][0])
                await client.session.post(f"{server.url}/api/v1/evict")
        return await program.stop()


def calls_in(trace: Path) -> Counter[str]:
    """How often the busiest thread made each call."""
    made: Counter[tuple[str, str]] = Counter()
    for line in trace.read_text().splitlines():
        if found := re.match(r"(\d+) +(\w+)\(", line):
            made[found[1], found[2]] += 1
    most: Counter[str] = Counter()
    for (_, call), count in made.items():
        most[call] = max(most[call], count)
    return most


def moments(trace: Path) -> list[tuple[str, int]]:
    """Calls by name and number: all that were traced, or one of each name."""
    most = calls_in(trace)
    if os.environ.get("LIFE_SWEEP") == "all":
        return [(call, number) for call in CALLS for number in range(1, most[call] + 1)]
    chosen = dice(SEED)
    return [(call, chosen.randint(1, most[call])) for call in CALLS]


@needs_strace
async def test_at_any_system_call(nursery: Nursery, tmp_path: Path, hub: SimulatedHub) -> None:
    for name in NAMES[:2]:
        hub.push(name, "1", VERSIONS[name][0])
    every = f"trace={','.join(CALLS)}"
    assert await live(nursery, tmp_path / "data", hub, "-e", every) == 0
    ends: Counter[int] = Counter()
    for call, number in moments(tmp_path / "trace"):
        data = tmp_path / f"{call}-{number}" / "data"
        data.parent.mkdir()
        kill = f"inject={call}:signal=SIGKILL:when={number}"

        ends[await live(nursery, data, hub, "-e", f"trace={call}", "-e", kill)] += 1

        await look_after(nursery, data, hub)
    # The last of many calls may not come again: how many there are depends on the threads.
    assert set(ends) <= {-9, 0}
    assert ends[-9] > 4 * ends[0]


async def look_after(nursery: Nursery, data: Path, hub: SimulatedHub) -> None:
    if (data / "metadata.db").exists():
        inspect(data, contents_of(hub))
    async with running_server(nursery, order(data, mirror_of(hub))) as server:
        async with client_of(server.url) as client:
            for name in NAMES[:2]:
                await client.pull(name, "1", VERSIONS[name][0])
        assert await server.program.stop() == 0
    inspect(data, contents_of(hub))
