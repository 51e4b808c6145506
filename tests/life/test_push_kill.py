"""kill -9 in the middle of a push: what was acknowledged is there, and the rest can go on."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from tests.api.wire import eventually
from tests.life.aftermath import inspect
from tests.life.environment import mirror_of, stored_files
from tests.life.process import Nursery, order, running_server
from tests.life.pulling import BROKEN, client_of
from tests.life.pushes import BlobPush
from tests.life.test_kill import SEED, calls_in, dice
from tests.life.tracing import traced
from tests.requirements import needs_strace
from tests.simulated_hub import SimulatedHub, blob

CONTENT = blob("pushed", 300_000)
CALLS = (
    *("pwrite64", "pwritev2", "utimensat", "fchmod", "fsync", "fdatasync", "mkdir", "rename"),
    *("ftruncate", "unlink", "sendto"),
)


def pushes() -> tuple[BlobPush, BlobPush]:
    """The second finds its bytes here already."""
    return BlobPush("local/ours", CONTENT), BlobPush("theirs/too/here", CONTENT)


async def live(
    nursery: Nursery, data: Path, hub: SimulatedHub, planned: Sequence[BlobPush], *tracing: str
) -> int:
    """Push these, unless tracing ends it before; how it ended."""
    trace = data.parent / "trace"
    async with (
        running_server(nursery, order(data, mirror_of(hub))) as server,
        traced(server.program, trace, *tracing),
    ):
        with suppress(*BROKEN):
            async with client_of(server.url, patience=10) as client:
                for push in planned:
                    await push.run(client.session, server.url)
        return await server.program.stop()


def moments(trace: Path) -> list[tuple[str, int]]:
    """Calls by name and number: all that were traced, or one of each name."""
    most = calls_in(trace)
    if os.environ.get("LIFE_SWEEP") == "all":
        return [(call, number) for call in CALLS for number in range(1, most[call] + 1)]
    chosen = dice(SEED)
    return [(call, chosen.randint(1, most[call])) for call in CALLS if most[call]]


@needs_strace
@pytest.mark.slow
async def test_at_any_system_call(nursery: Nursery, tmp_path: Path, hub: SimulatedHub) -> None:
    """Between the first byte and the last acknowledgement. LIFE_SWEEP=all takes each of them."""
    planned = pushes()
    every = f"trace={','.join(CALLS)}"
    assert await live(nursery, tmp_path / "data", hub, planned, "-e", every) == 0
    assert all(push.is_acknowledged for push in planned)
    ends: Counter[int] = Counter()
    for call, number in moments(tmp_path / "trace"):
        data, planned = tmp_path / f"{call}-{number}" / "data", pushes()
        data.parent.mkdir()
        kill = f"inject={call}:signal=SIGKILL:when={number}"

        ends[await live(nursery, data, hub, planned, "-e", f"trace={call}", "-e", kill)] += 1

        await look_after(nursery, data, hub, planned)
    # The last of many calls may not come again: how many there are depends on the threads.
    assert set(ends) <= {-9, 0}
    assert ends[-9] > 4 * ends[0]


async def look_after(
    nursery: Nursery, data: Path, hub: SimulatedHub, planned: Sequence[BlobPush]
) -> None:
    inspect(data, {})
    for partial in (data / "ingest").iterdir():
        assert CONTENT.startswith(partial.read_bytes()), "not what was sent"
    async with running_server(nursery, order(data, mirror_of(hub))) as server:
        async with client_of(server.url) as client:
            for push in planned:
                is_there = await push.is_there(client.session, server.url)
                assert is_there or not push.is_acknowledged, "what was acknowledged is gone"
            for push in planned:
                if not push.is_acknowledged:
                    await push.go_on(client.session, server.url)
                assert await push.is_there(client.session, server.url)
        assert await server.program.stop() == 0
    inspect(data, {})
    assert len(stored_files(data)) == 1
    assert list((data / "quarantine").iterdir()) == []


async def test_in_the_middle_of_the_bytes(
    nursery: Nursery, tmp_path: Path, hub: SimulatedHub
) -> None:
    """The next server has all that the last one had written, and takes the rest."""
    push, gate = BlobPush("local/ours", blob("large", 5_000_000)), asyncio.Event()

    async def a_part() -> AsyncIterator[bytes]:
        yield push.content[:3_000_000]
        await gate.wait()

    async with (
        running_server(nursery, order(tmp_path, mirror_of(hub))) as server,
        client_of(server.url) as client,
    ):
        await push.begin(client.session, server.url)
        sending = asyncio.create_task(
            client.session.request("PATCH", f"{server.url}{push.location}", data=a_part())
        )
        [partial] = (tmp_path / "ingest").iterdir()
        await eventually(lambda: partial.stat().st_size > 1_000_000)
        await server.program.kill()
        with suppress(*BROKEN):
            await sending
    assert push.content.startswith(partial.read_bytes())
    async with running_server(nursery, order(tmp_path, mirror_of(hub))) as server:
        async with client_of(server.url) as client:
            await push.go_on(client.session, server.url)
            assert await push.is_there(client.session, server.url)
        assert await server.program.stop() == 0
    inspect(tmp_path, {})
