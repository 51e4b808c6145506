"""Two scans in order of last use, woven into one."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
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
    list_page: Callable[[Cursor | None, int], Awaitable[tuple[Sequence[T], Cursor | None]]],
    limit: int,
) -> AsyncGenerator[T, None]:
    after: Cursor | None = None
    while True:
        rows, after = await list_page(after, limit)
        for row in rows:
            yield row
        if after is None:
            return
