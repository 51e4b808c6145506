"""Two scans in order of last use, woven into one."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import TypeVar

from mirror.ports.metadata import Cursor, EvictionStore, IdleBlob, IdleManifest

T = TypeVar("T")

PAGE = 500
"""Rows asked for at a time."""


async def oldest_first(
    facts: EvictionStore, page: int = PAGE
) -> AsyncGenerator[IdleManifest | IdleBlob, None]:
    """Everything that eviction may take, least recently used first."""
    async with (
        aclosing(_rows(facts.list_idle_manifests, page)) as manifests,
        aclosing(_rows(facts.list_idle_blobs, page)) as blobs,
    ):
        manifest = await anext(manifests, None)
        blob = await anext(blobs, None)
        while manifest is not None or blob is not None:
            if blob is None or (
                manifest is not None and manifest.last_used_at <= blob.last_used_at
            ):
                assert manifest is not None
                yield manifest
                manifest = await anext(manifests, None)
            else:
                yield blob
                blob = await anext(blobs, None)


async def _rows(
    list_page: Callable[
        [Cursor | None, int], Coroutine[None, None, tuple[Sequence[T], Cursor | None]]
    ],
    limit: int,
) -> AsyncGenerator[T, None]:
    """A page ahead: the next is read while somebody is busy with what is here."""
    rows, after = await list_page(None, limit)
    while after is not None:
        async with _begun(list_page(after, limit)) as coming:
            for row in rows:
                yield row
            rows, after = await coming
    for row in rows:
        yield row


@asynccontextmanager
async def _begun(work: Coroutine[None, None, T]) -> AsyncIterator[asyncio.Task[T]]:
    """Under way meanwhile, and given up on leaving if it has not ended."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # nobody may have taken it
