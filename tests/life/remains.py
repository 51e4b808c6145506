"""What a server that runs in the test's own process leaves behind: descriptors, threads, tasks."""

import asyncio
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Remains:
    """``files`` are those of the data folder that are no blobs."""

    descriptors: Counter[str]
    threads: Counter[str]
    tasks: int
    files: tuple[str, ...]


def remains(data: Path | None = None) -> Remains:
    return Remains(
        _descriptors(),
        Counter(thread.name.rstrip("0123456789_") for thread in threading.enumerate()),
        len(asyncio.all_tasks()),
        () if data is None else tuple(_loose_files(data)),
    )


async def back_to(before: Remains, data: Path | None = None) -> None:
    """Return once nothing is left that was not there before. What ends, ends on its own time, and
    no event tells when it has.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE
    while (now := remains(data)) != before and loop.time() < deadline:  # noqa: ASYNC110 - as said
        await asyncio.sleep(0.01)
    assert now == before


def _descriptors() -> Counter[str]:
    found: Counter[str] = Counter()
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # that of the listing itself
            found[str(entry.readlink()).partition(":")[0]] += 1
    return found


def _loose_files(data: Path) -> list[str]:
    blobs = data / "blobs"
    return sorted(
        str(path.relative_to(data))
        for path in data.rglob("*")
        if path.is_file() and not path.is_relative_to(blobs)
    )
