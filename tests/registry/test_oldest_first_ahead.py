"""A page is read while somebody is busy with the one before it."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

import pytest

from mirror.metadata.memory import MemoryMetadata
from mirror.ports.metadata import BlobRecord, Cursor, IdleBlob, MetadataError
from mirror.registry.oldest_first import oldest_first
from tests.conformance.metadata import NGINX, at, digest


class Scanned(MemoryMetadata):
    """Tells when a page of blobs is asked for, and gives later ones when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Semaphore(0)
        self.let = asyncio.Event()
        self.ended = 0
        self.broken = False

    async def list_idle_blobs(
        self, after: Cursor | None, limit: int
    ) -> tuple[Sequence[IdleBlob], Cursor | None]:
        self.asked.release()
        try:
            if after is not None:
                await self.let.wait()
            if after is not None and self.broken:
                raise MetadataError("the disk went away")
            return await super().list_idle_blobs(after, limit)
        finally:
            self.ended += 1


@pytest.fixture
async def facts() -> Scanned:
    facts = Scanned()
    for number in range(5):
        await facts.put_blob(NGINX, BlobRecord(digest(str(number)), 1), at(number))
    return facts


async def test_the_next_page_is_asked_for_before_this_one_is_done(facts: Scanned) -> None:
    async with aclosing(oldest_first(facts, 2)) as rows:
        await anext(rows)
        for _ in range(2):
            await facts.asked.acquire()
        facts.let.set()

        assert len([idle async for idle in rows]) == 4


async def test_who_leaves_early_leaves_nothing_under_way(facts: Scanned) -> None:
    async with aclosing(oldest_first(facts, 2)) as rows:
        await anext(rows)
        for _ in range(2):
            await facts.asked.acquire()

    assert facts.ended == 2
    assert len(asyncio.all_tasks()) == 1


async def test_a_page_that_fails_is_told_when_it_is_its_turn(facts: Scanned) -> None:
    facts.broken = True
    facts.let.set()
    async with aclosing(oldest_first(facts, 2)) as rows:
        await anext(rows)
        with pytest.raises(MetadataError, match="went away"):
            async for _ in rows:
                pass


async def test_a_page_that_fails_and_nobody_wants_is_not_told(facts: Scanned) -> None:
    facts.broken = True
    facts.let.set()
    async with aclosing(oldest_first(facts, 2)) as rows:
        await anext(rows)
        for _ in range(2):
            await facts.asked.acquire()
