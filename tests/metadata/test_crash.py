"""Killed at any moment, the file holds whole transactions, and all that were acknowledged."""

import asyncio
import random
import signal
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

from mirror.metadata.memory import MemoryMetadata
from mirror.metadata.sql import open_sqlite
from mirror.ports.hosting import Facts
from tests.conformance.metadata import at, idle_blobs, idle_manifests, images
from tests.metadata.crashing import take_step

PROJECT = Path(__file__).parents[2]


async def everything(store: Facts) -> tuple[object, ...]:
    return (
        await store.list_repositories(None, 10),
        await store.list_dead_blobs(at(10_000), None, 1000),
        await images(store),
        await idle_manifests(store),
        await idle_blobs(store),
        await store.totals(),
        await store.load_counters(),
    )


async def after(steps: int) -> tuple[object, ...]:
    store = MemoryMetadata()
    for number in range(steps):
        await take_step(store, number)
    return await everything(store)


async def check(path: Path, acknowledged: int) -> int:
    """How many steps are done: all that were acknowledged, and one more or not."""
    store = await open_sqlite(path)
    found = await everything(store)
    await store.close()
    if found == await after(acknowledged):
        return acknowledged
    assert found == await after(acknowledged + 1), "a step is whole, or was never begun"
    return acknowledged + 1


def write(
    path: Path, first: int, *, until: int | None = None, statements: int | None = None
) -> int:
    """How many steps were acknowledged before the kill, those before the first one included."""
    arguments = [str(path), str(first), *([str(statements)] if statements else [])]
    command = [sys.executable, "-m", "tests.metadata.crashing", *arguments]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        lines = list(islice(process.stdout, until))
        if until is not None:
            process.kill()
            lines += process.stdout.readlines()
    assert process.returncode == -signal.SIGKILL
    return first + len(lines)


async def test_killed_from_outside_at_any_moment(path: Path) -> None:
    chance = random.Random(7)  # noqa: S311 - any moments will do
    done = 0
    for _ in range(3):
        acknowledged = await asyncio.to_thread(write, path, done, until=chance.randrange(5, 60))
        done = await check(path, acknowledged)


@pytest.mark.parametrize("statements", [27, 52, 62, 88, 135, 155, 210, 217])
async def test_killed_between_the_statements_of_a_transaction(path: Path, statements: int) -> None:
    """While the tables are made, an image is stored, pushed, evicted, removed and collected."""
    acknowledged = await asyncio.to_thread(write, path, 0, statements=statements)

    await check(path, acknowledged)
