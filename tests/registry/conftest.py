"""What every test of the use cases has: nothing may be left over, and stores to choose from.

Clocks stand still, stores fail when they are told to, upstreams do as the test says.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from mirror.oci.digest import Digest
from mirror.oci.manifest import Manifest
from tests.registry.chores import HASTY, PORTIONS, SPARING, TIGHT
from tests.registry.moving_tag import OLD
from tests.registry.one_layer import DIGEST, LAYER
from tests.registry.scripted_upstream import ScriptedUpstream
from tests.registry.shelf import Shelf, disk_shelf, memory_shelf
from tests.registry.troubled_stores import TroubledFacts, TroubledStore
from tests.registry.workbench import (
    GHCR,
    HUB,
    NAME,
    Ground,
    Workbench,
    disk_ground,
    memory_ground,
    set_up,
)
from tests.world import SettableClock

FOLDER = Path("/proc/self/fd")


@pytest.fixture(autouse=True)
async def _nothing_left_over() -> AsyncIterator[None]:
    """Tasks and files are the same after a test as before it. No event tells when they are."""
    tasks, files = asyncio.all_tasks(), open_files()
    yield
    for _ in range(3000):
        left = asyncio.all_tasks() - tasks - {asyncio.current_task()}
        if not left and open_files() == files:
            return
        await asyncio.sleep(0.01)
    assert not left, "tasks are left over"
    assert open_files() == files, "files are left open"


def open_files() -> list[str]:
    """What they point at: numbers are used again."""
    targets = []
    for entry in os.listdir(FOLDER):  # noqa: PTH208 - a Path would not save anything here
        try:
            targets.append(str((FOLDER / entry).readlink()))
        except OSError:
            continue  # that of the listing itself
    return sorted(targets)


@pytest.fixture
def hub_upstream() -> ScriptedUpstream:
    return ScriptedUpstream()


@pytest.fixture
def ghcr_upstream() -> ScriptedUpstream:
    return ScriptedUpstream()


@pytest.fixture
def old(hub_upstream: ScriptedUpstream) -> Manifest:
    """What ``library/nginx:latest`` names upstream."""
    return hub_upstream.push(NAME, "latest", OLD)


@pytest.fixture
def layer(hub_upstream: ScriptedUpstream) -> Digest:
    """As ``library/nginx`` has it upstream."""
    hub_upstream.put_blob(NAME, DIGEST, LAYER)
    return DIGEST


@pytest.fixture
def tapped(hub_upstream: ScriptedUpstream, layer: Digest) -> Digest:
    """The layer, let out of the upstream by hand."""
    hub_upstream.by_hand.add(layer)
    return layer


Grounds = Callable[[Path], Ground]


def _in_memory(_folder: Path) -> Ground:
    return memory_ground()


def _on_disk(folder: Path) -> Ground:
    return disk_ground(folder / "data")


@pytest.fixture(params=[_in_memory, _on_disk], ids=["memory", "disk"])
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Ground:
    make: Grounds = request.param
    return make(tmp_path)


@pytest.fixture
async def bench(
    ground: Ground, hub_upstream: ScriptedUpstream, ghcr_upstream: ScriptedUpstream
) -> AsyncIterator[Workbench]:
    """Two upstreams that do as the test says, over each kind of store."""
    bench = set_up(ground, {HUB: hub_upstream, GHCR: ghcr_upstream})
    yield bench
    await bench.close()


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture
def facts() -> TroubledFacts:
    return TroubledFacts()


@pytest.fixture
def files(clock: SettableClock) -> TroubledStore:
    return TroubledStore(clock)


@pytest.fixture
def shelf() -> Shelf:
    return memory_shelf()


@pytest.fixture(params=["memory", "disk"])
async def each_shelf(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shelf]:
    if request.param == "memory":
        yield memory_shelf()
    else:
        async with disk_shelf(tmp_path) as shelf:
            yield shelf


@pytest.fixture
def troubled(clock: SettableClock, files: TroubledStore, facts: TroubledFacts) -> Shelf:
    """Whose stores fail when they are told to, and whose evictions go on in small portions."""
    return Shelf(clock, files, facts, portions=PORTIONS)


@pytest.fixture
def tight(clock: SettableClock, files: TroubledStore, facts: TroubledFacts) -> Shelf:
    """At most 1000 bytes of content, and an endless disk."""
    return Shelf(clock, files, facts, TIGHT)


@pytest.fixture
def sparing(clock: SettableClock, files: TroubledStore, facts: TroubledFacts) -> Shelf:
    """Content without an end, and a disk that has 1000 bytes more than must stay free."""
    files.free = 2000
    return Shelf(clock, files, facts, SPARING)


@pytest.fixture
def hasty(clock: SettableClock, files: TroubledStore, facts: TroubledFacts) -> Shelf:
    """Whose loops never rest."""
    return Shelf(clock, files, facts, pace=HASTY)
