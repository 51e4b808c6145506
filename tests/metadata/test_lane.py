"""Turns on a connection, and callers that go away. Another connection holds up the first write."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mirror.metadata.sql import SqlMetadata
from mirror.ports.metadata import MetadataError
from tests.conformance.metadata import LATEST, NGINX, STABLE, manifest, tagged

OLD, NEW = tagged(manifest("old")), tagged(manifest("new"))


@pytest.fixture
def holdup(path: Path, store: SqlMetadata) -> Iterator[sqlite3.Connection]:  # noqa: ARG001 - makes the file
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield connection


async def begun() -> None:
    """Long enough for what was started to be under way, or in the queue."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_write_that_has_begun_is_carried_out_without_its_caller(
    store: SqlMetadata, holdup: sqlite3.Connection
) -> None:
    writing = asyncio.create_task(store.put_tag(NGINX, LATEST, NEW))
    await begun()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert await store.get_tag(NGINX, LATEST) is None

    holdup.execute("COMMIT")
    await store.put_tag(NGINX, STABLE, NEW)

    assert await store.get_tag(NGINX, LATEST) == NEW


async def test_a_write_that_waits_for_its_turn_is_dropped_with_its_caller(
    store: SqlMetadata, holdup: sqlite3.Connection
) -> None:
    first = asyncio.create_task(store.put_tag(NGINX, LATEST, OLD))
    await begun()
    second = asyncio.create_task(store.put_tag(NGINX, LATEST, NEW))
    await begun()
    second.cancel()
    holdup.execute("COMMIT")

    await first
    with pytest.raises(asyncio.CancelledError):
        await second

    await store.put_tag(NGINX, STABLE, NEW)
    assert await store.get_tag(NGINX, LATEST) == OLD


async def test_closing_waits_for_the_write_that_has_begun(
    store: SqlMetadata, holdup: sqlite3.Connection, path: Path
) -> None:
    writing = asyncio.create_task(store.put_tag(NGINX, LATEST, NEW))
    await begun()
    late = asyncio.create_task(store.put_tag(NGINX, STABLE, NEW))
    closing_down = asyncio.create_task(store.close())
    await begun()
    holdup.execute("COMMIT")

    await asyncio.gather(writing, closing_down)
    await asyncio.gather(late, return_exceptions=True)

    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT tag FROM tags WHERE tag = 'latest'").fetchall()
    assert rows == [("latest",)]


async def test_writes_are_done_in_the_order_of_asking(store: SqlMetadata) -> None:
    await asyncio.gather(
        *(store.put_tag(NGINX, LATEST, tagged(manifest(f"m{number}"))) for number in range(20))
    )

    assert await store.get_tag(NGINX, LATEST) == tagged(manifest("m19"))


async def test_a_write_that_fails_leaves_nothing_behind_and_the_next_goes_on(
    store: SqlMetadata, path: Path
) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(
            "CREATE TRIGGER full BEFORE INSERT ON tags WHEN new.tag = 'latest'"
            " BEGIN SELECT raise(ABORT, 'no room'); END"
        )

    with pytest.raises(MetadataError, match="no room"):
        await store.put_tag(NGINX, LATEST, NEW)

    await store.put_tag(NGINX, STABLE, NEW)
    assert await store.get_tag(NGINX, LATEST) is None
    assert await store.get_tag(NGINX, STABLE) == NEW
