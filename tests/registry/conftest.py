"""What every test of the use cases has: nothing may be left over, and stores to choose from."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.registry.scripted_upstream import ScriptedUpstream
from tests.registry.workbench import (
    GHCR,
    HUB,
    Ground,
    Workbench,
    disk_ground,
    memory_ground,
    set_up,
)

FOLDER = Path("/proc/self/fd")


@pytest.fixture(autouse=True)
async def _nothing_left_over() -> AsyncIterator[None]:
    """Tasks and files are the same after a test as before it."""
    tasks, files = asyncio.all_tasks(), open_files()
    yield
    for _ in range(100):
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
