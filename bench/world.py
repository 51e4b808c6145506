"""What every scenario has: folders, an upstream with known content, and how thorough to be."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bench.load import fetch
from bench.peers import Origin
from bench.report import Report

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Thoroughness:
    """``rounds`` are alternations between the peers, each of ``seconds`` per measurement."""

    rounds: int
    seconds: int


@dataclass(frozen=True, slots=True)
class World:
    folder: Path
    thoroughness: Thoroughness
    report: Report


@dataclass(frozen=True, slots=True)
class Upstream:
    """A simulated Docker Hub in a process of its own. ``images``: digest of each name:tag."""

    origin: Origin
    images: Mapping[str, str]

    async def token(self, name: str) -> str:
        """For pulling from a repository."""
        query = f"service=registry.docker.io&scope=repository:{name}:pull"
        answer = await fetch(f"http://{self.origin.token_host}/token?{query}")
        return str(json.loads(answer)["token"])


@asynccontextmanager
async def upstream(*options: str) -> AsyncIterator[Upstream]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.simulated_hub",
        *options,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        said = json.loads(await process.stdout.readline())
        yield Upstream(Origin(said["url"], said["token_host"]), said["images"])
    finally:
        process.terminate()
        await process.wait()


def alternation(rounds: int, peers: Sequence[T]) -> Iterator[T]:
    """Every peer once a round, in turned order, so that no one always comes after the same."""
    for turn in range(rounds):
        yield from peers if turn % 2 == 0 else reversed(peers)
