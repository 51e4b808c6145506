"""The housekeeping of a test: limits that are soon reached, blobs told to it, and its loops."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

from mirror.registry.eviction import Portions
from mirror.registry.housekeeping import Pace
from mirror.registry.room import Limits
from tests.registry.shelf import NGINX, Shelf

TIGHT = Limits(max_size=1000, low_size=600, min_free=0)
SPARING = Limits(max_size=1 << 40, low_size=1 << 39, min_free=1000)
HASTY = Pace(flush=0, check=0, sweep=0)

PORTIONS = Portions(round=4, batch=2, named=3, page=1)
"""Small enough for a few images to be a great many."""

TEN_YEARS = timedelta(days=3650)


async def store(shelf: Shelf, *names: str, size: int = 100) -> None:
    """Blobs, each of its own age, and told to the housekeeping as fills tell them."""
    for name in names:
        await shelf.put_blob(NGINX, name, size)
        shelf.housekeeping.added(size)


async def until(done: Callable[[], bool]) -> None:
    """Until loops that never rest have done it."""
    async with asyncio.timeout(30):
        while not done():  # noqa: ASYNC110 - nothing rings when a store is looked at
            await asyncio.sleep(0)


@asynccontextmanager
async def going_on(loop: Callable[[], Awaitable[None]]) -> AsyncIterator[asyncio.Task[None]]:
    """A loop of the housekeeping, until the test has seen enough."""
    task = asyncio.ensure_future(loop())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})
    assert task.cancelled(), "it goes on until it is cancelled"
