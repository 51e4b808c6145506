"""Killed at any moment, the file holds whole transactions, and all that were acknowledged."""

import asyncio
import random
import signal
import subprocess
import sys
from pathlib import Path

from mirror.metadata.memory import MemoryMetadata
from mirror.metadata.sql import open_sqlite
from mirror.ports.metadata import MetadataStore
from tests.conformance.metadata import idle_blobs, idle_manifests, images
from tests.metadata.crashing import take_step

PROJECT = Path(__file__).parents[2]
KILLS = 5


async def everything(store: MetadataStore) -> tuple[object, ...]:
    return (
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


def write_and_be_killed(path: Path, first: int, more: int) -> int:
    """How many steps were acknowledged in all."""
    command = [sys.executable, "-m", "tests.metadata.crashing", str(path), str(first)]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(more):
            assert process.stdout.readline()
        process.kill()
        unread = process.stdout.read().splitlines()
    assert process.returncode == -signal.SIGKILL
    return first + more + len(unread)


async def test_what_was_acknowledged_is_there_and_nothing_is_torn(path: Path) -> None:
    chance = random.Random(7)  # noqa: S311 - any moments will do
    done = 0
    for _ in range(KILLS):
        done = await asyncio.to_thread(write_and_be_killed, path, done, chance.randrange(5, 60))

        store = await open_sqlite(path)
        found = await everything(store)
        await store.close()

        if found != await after(done):
            done += 1  # the step under way was committed, and its word did not come through
            assert found == await after(done)
