"""kill -9 in the middle of a collection: nothing that is needed is lost, the next one goes on."""

import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from aiohttp import ClientSession

from tests.life.aftermath import inspect, recorded_blobs
from tests.life.environment import mirror_of, stored_files
from tests.life.process import Nursery, order, running_server
from tests.life.pulling import BROKEN, client_of
from tests.life.pushes import BlobPush
from tests.life.test_kill import SEED, calls_in, dice
from tests.life.tracing import traced
from tests.requirements import needs_strace
from tests.simulated_hub import Image, SimulatedHub, blob, make_image

DEAD = [blob(f"dead {number}", 2000 + number) for number in range(4)]
IMAGE = make_image(layers=[blob("layer", 3000)])
CALLS = ("pwrite64", "pwritev2", "fsync", "fdatasync", "unlink", "sendto")
LONG_AGO = 1


async def lay(nursery: Nursery, data: Path, hub: SimulatedHub) -> None:
    """Something that is needed and something that is not, all of it pushed long ago."""
    async with running_server(nursery, order(data, mirror_of(hub))) as server:
        async with client_of(server.url) as client:
            for content in (*DEAD, *IMAGE.blobs.values()):
                await BlobPush("local/ours", content).run(client.session, server.url)
            await put_manifest(server.url, client.session, IMAGE)
        assert await server.program.stop() == 0
    with closing(sqlite3.connect(data / "metadata.db")) as database:
        database.execute("UPDATE blobs SET last_used_at = ?", [LONG_AGO])
        database.execute("UPDATE blob_links SET linked_at = ? WHERE linked_at > 0", [LONG_AGO])
        database.commit()


async def put_manifest(url: str, session: ClientSession, image: Image) -> None:
    headers = {"Content-Type": image.media_type}
    path = f"{url}/v2/local/ours/manifests/1"
    async with session.put(path, data=image.content, headers=headers) as answer:
        assert answer.status == 201, await answer.text()


async def collect(nursery: Nursery, data: Path, hub: SimulatedHub, *tracing: str) -> int:
    """Unless tracing ends it before; how the server ended."""
    trace = data.parent / "trace"
    async with (
        running_server(nursery, order(data, mirror_of(hub))) as server,
        traced(server.program, trace, *tracing),
    ):
        with suppress(*BROKEN):
            async with (
                client_of(server.url, patience=10) as client,
                client.session.post(f"{server.url}/api/v1/gc") as answer,
            ):
                assert answer.status == 200
                assert (await answer.json())["count"] == len(DEAD)
        return await server.program.stop()


def moments(trace: Path) -> Iterator[tuple[str, int]]:
    """Two of each call, of which the later ones are of the collection."""
    most, chosen = calls_in(trace), dice(SEED)
    for call in CALLS:
        if most[call]:
            yield call, chosen.randint(1, max(most[call] // 2, 1))
            yield call, chosen.randint(max(most[call] // 2, 1), max(most[call] * 9 // 10, 1))


@needs_strace
@pytest.mark.slow
async def test_at_any_system_call(nursery: Nursery, tmp_path: Path, hub: SimulatedHub) -> None:
    laid = tmp_path / "laid"
    await lay(nursery, laid, hub)
    shutil.copytree(laid, tmp_path / "whole" / "data")
    every = f"trace={','.join(CALLS)}"
    assert await collect(nursery, tmp_path / "whole" / "data", hub, "-e", every) == 0
    ends: Counter[int] = Counter()
    for call, number in moments(tmp_path / "whole" / "trace"):
        data = tmp_path / f"{call}-{number}" / "data"
        shutil.copytree(laid, data, dirs_exist_ok=True)
        kill = f"inject={call}:signal=SIGKILL:when={number}"
        ends[await collect(nursery, data, hub, "-e", f"trace={call}", "-e", kill)] += 1
        await look_after(nursery, data, hub)
    assert set(ends) <= {-9, 0}
    # How many calls there are depends on the threads.
    assert ends[-9] > 2 * ends[0]


async def look_after(nursery: Nursery, data: Path, hub: SimulatedHub) -> None:
    inspect(data, {})
    async with running_server(nursery, order(data, mirror_of(hub))) as server:
        async with client_of(server.url) as client:
            async with client.session.post(f"{server.url}/api/v1/gc") as answer:
                assert answer.status == 200
            async with client.session.get(f"{server.url}/v2/local/ours/manifests/1") as answer:
                assert await answer.read() == IMAGE.content
            for content in IMAGE.blobs.values():
                needed = BlobPush("local/ours", content)
                assert await needed.is_there(client.session, server.url)
        assert await server.program.stop() == 0
    inspect(data, {})
    recorded, files = recorded_blobs(data), {path.name for path in stored_files(data)}
    assert set(recorded) == {IMAGE.digest, *IMAGE.blobs}
    # Files that it had no time for are of nobody, and are swept later.
    assert {digest.removeprefix("sha256:") for digest in recorded} <= files
