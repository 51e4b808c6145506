"""kill -9 while manifests are pushed, moved and deleted: what was acknowledged holds, in order."""

import json
import os
import shutil
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from tests.life.aftermath import inspect, recorded_blobs
from tests.life.environment import mirror_of, stored_files
from tests.life.process import Nursery, order, running_server
from tests.life.pulling import BROKEN, client_of
from tests.life.test_kill import SEED, calls_in, dice
from tests.life.tracing import traced
from tests.requirements import needs_strace
from tests.simulated_hub import Image, SimulatedHub, blob, make_image
from tests.simulated_hub.content import make_artifact

NAME = "team/group/app"
OLD = make_image(layers=[blob("old", 3_000)])
NEW = make_image(layers=[blob("new", 3_000)])
NOTE = make_artifact(OLD, b"note")
IMAGES = (OLD, NEW, NOTE)
CALLS = (
    *("pwrite64", "pwritev2", "utimensat", "fchmod", "fsync", "fdatasync", "mkdir", "rename"),
    *("unlink", "sendto"),
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the tag names, what refers to OLD, and which manifests there are."""

    tag: str | None
    referrers: frozenset[str]
    manifests: frozenset[str]


@dataclass(frozen=True, slots=True)
class Change:
    method: str
    reference: str
    pushed: Image | None = None

    async def run(self, session: aiohttp.ClientSession, url: str) -> None:
        path = f"{url}/v2/{NAME}/manifests/{self.reference}"
        body = None if self.pushed is None else self.pushed.content
        kind = {} if self.pushed is None else {"Content-Type": self.pushed.media_type}
        async with session.request(self.method, path, data=body, headers=kind) as answer:
            assert answer.status in (201, 202), await answer.text()


def seen(tag: Image | None, referrers: Sequence[Image], manifests: Sequence[Image]) -> Seen:
    return Seen(
        None if tag is None else tag.digest,
        frozenset(image.digest for image in referrers),
        frozenset(image.digest for image in manifests),
    )


HISTORY = (
    Change("PUT", "1", OLD),
    Change("PUT", NOTE.digest, NOTE),
    Change("PUT", "1", NEW),
    Change("DELETE", NOTE.digest),
    Change("DELETE", "1"),
    Change("PUT", "1", OLD),
    Change("DELETE", OLD.digest),
)
STATES = (
    seen(None, [], []),
    seen(OLD, [], [OLD]),
    seen(OLD, [NOTE], [OLD, NOTE]),
    seen(NEW, [NOTE], [OLD, NEW, NOTE]),
    seen(NEW, [], [OLD, NEW]),
    seen(None, [], [OLD, NEW]),
    seen(OLD, [], [OLD, NEW]),
    seen(None, [], [NEW]),
)
"""Before the first change, and after each."""


async def look(session: aiohttp.ClientSession, url: str) -> Seen:
    """As clients do; bytes and digests that do not fit are never seen."""
    base, manifests, named = f"{url}/v2/{NAME}", set[str](), None
    for image in IMAGES:
        async with session.get(f"{base}/manifests/{image.digest}") as answer:
            assert answer.status in (200, 404)
            if answer.status == 200:
                assert await answer.read() == image.content
                manifests.add(image.digest)
    async with session.get(f"{base}/manifests/1") as answer:
        assert answer.status in (200, 404)
        if answer.status == 200:
            named = answer.headers["Docker-Content-Digest"]
    async with session.get(f"{base}/tags/list") as answer:
        tags = json.loads(await answer.read()).get("tags", [])
        assert tags == ([] if named is None else ["1"])
    async with session.get(f"{base}/referrers/{OLD.digest}") as answer:
        listed = json.loads(await answer.read())["manifests"]
    return Seen(named, frozenset(entry["digest"] for entry in listed), frozenset(manifests))


async def prepare(nursery: Nursery, data: Path, hub: SimulatedHub) -> None:
    """All blobs are here."""
    async with running_server(nursery, order(data, mirror_of(hub))) as server:
        async with client_of(server.url) as client:
            for digest, content in [pair for image in IMAGES for pair in image.blobs.items()]:
                path = f"{server.url}/v2/{NAME}/blobs/uploads/?digest={digest}"
                async with client.session.post(path, data=content) as answer:
                    assert answer.status == 201
        assert await server.program.stop() == 0


async def live(nursery: Nursery, data: Path, hub: SimulatedHub, *tracing: str) -> tuple[int, int]:
    """How many changes were acknowledged before tracing ended it, and how it ended."""
    acknowledged = 0
    async with (
        running_server(nursery, order(data, mirror_of(hub))) as server,
        traced(server.program, data.parent / "trace", *tracing),
    ):
        with suppress(*BROKEN):
            async with client_of(server.url, patience=10) as client:
                for change in HISTORY:
                    await change.run(client.session, server.url)
                    acknowledged += 1
        return acknowledged, await server.program.stop()


def moments(trace: Path) -> list[tuple[str, int]]:
    """Calls by name and number: all that were traced, or two of each name."""
    most = calls_in(trace)
    if os.environ.get("LIFE_SWEEP") == "all":
        return [(call, number) for call in CALLS for number in range(1, most[call] + 1)]
    chosen = dice(SEED)
    found = {(call, chosen.randint(1, most[call])) for call in CALLS * 2 if most[call]}
    return sorted(found)


@needs_strace
@pytest.mark.slow
async def test_at_any_system_call(nursery: Nursery, tmp_path: Path, hub: SimulatedHub) -> None:
    """Between the first change and the last acknowledgement. LIFE_SWEEP=all takes each of them."""
    await prepare(nursery, tmp_path / "prepared", hub)
    first = tmp_path / "first" / "data"
    shutil.copytree(tmp_path / "prepared", first)
    assert await live(nursery, first, hub, "-e", f"trace={','.join(CALLS)}") == (len(HISTORY), 0)
    ends: Counter[int] = Counter()
    for call, number in moments(first.parent / "trace"):
        data = tmp_path / f"{call}-{number}" / "data"
        shutil.copytree(tmp_path / "prepared", data)
        kill = f"inject={call}:signal=SIGKILL:when={number}"

        count, end = await live(nursery, data, hub, "-e", f"trace={call}", "-e", kill)

        ends[end] += 1
        await look_after(nursery, data, hub, STATES[count : count + 2])
    # The last of many calls may not come again: how many there are depends on the threads.
    assert set(ends) <= {-9, 0}
    assert ends[-9] > 4 * ends[0]


async def look_after(
    nursery: Nursery, data: Path, hub: SimulatedHub, possible: Sequence[Seen]
) -> None:
    """The last change that was not acknowledged happened, or did not."""
    inspect(data, {})
    files = {f"sha256:{path.name}" for path in stored_files(data)}
    assert set(recorded_blobs(data)) <= files, "recorded, and no file"
    async with running_server(nursery, order(data, mirror_of(hub))) as server:
        async with client_of(server.url) as client:
            assert await look(client.session, server.url) in possible
            for change in HISTORY[:3]:
                await change.run(client.session, server.url)
            assert await look(client.session, server.url) == STATES[3]
        assert await server.program.stop() == 0
    inspect(data, {})
    assert hub.requests == []
