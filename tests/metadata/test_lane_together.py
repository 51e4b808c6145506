"""What waits for its turn shares a commit, and nothing else."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.exc import SQLAlchemyError

from mirror.metadata.lane import Lane
from mirror.ports.metadata import MetadataError


class Notebook:
    """A table of words, and how often something was committed to it."""

    def __init__(self, path: Path) -> None:
        self.engine = create_engine(f"sqlite:///{path}")
        self.commits = 0
        event.listen(self.engine, "commit", self._count)

    def connect(self) -> Connection:
        return self.engine.connect()

    def _count(self, _connection: Connection) -> None:
        self.commits += 1


@pytest.fixture
def notebook(tmp_path: Path) -> Notebook:
    return Notebook(tmp_path / "words.db")


@pytest.fixture
async def lane(notebook: Notebook) -> AsyncIterator[Lane]:
    lane = await Lane.open(notebook.connect, explain)
    await lane.run(lambda connection: connection.exec_driver_sql("CREATE TABLE words (word)"))
    notebook.commits = 0
    yield lane
    await lane.close()


def explain(error: SQLAlchemyError | UnicodeDecodeError) -> MetadataError:
    return MetadataError(str(error))


async def write(lane: Lane, word: str, *, alone: bool = False) -> str:
    def insert(connection: Connection) -> str:
        connection.exec_driver_sql("INSERT INTO words VALUES (?)", (word,))
        return word

    return await lane.run(insert, alone=alone)


async def fail(lane: Lane) -> None:
    def spoil(connection: Connection) -> None:
        connection.exec_driver_sql("INSERT INTO words VALUES ('spoilt')")
        connection.exec_driver_sql("ROLLBACK")  # as a database does by itself on a full disk
        connection.exec_driver_sql("INSERT INTO nowhere VALUES (1)")

    await lane.run(spoil)


async def words(lane: Lane) -> list[str]:
    def read(connection: Connection) -> list[str]:
        return [str(row[0]) for row in connection.exec_driver_sql("SELECT word FROM words")]

    return await lane.run(read)


async def test_who_waits_goes_together(lane: Lane, notebook: Notebook) -> None:
    told = await asyncio.gather(*(write(lane, word) for word in "abcde"))
    assert told == list("abcde")
    assert notebook.commits == 1
    assert await words(lane) == list("abcde")


async def test_who_takes_long_goes_alone_and_in_turn(lane: Lane, notebook: Notebook) -> None:
    tasks = [asyncio.create_task(write(lane, word, alone=word == "c")) for word in "abcde"]
    assert await asyncio.gather(*tasks) == list("abcde")
    assert notebook.commits == 3
    assert await words(lane) == list("abcde")


async def test_one_that_fails_fails_alone(lane: Lane) -> None:
    """Also when the database has undone what the others did before it."""
    before = asyncio.create_task(write(lane, "a"))
    failing = asyncio.create_task(fail(lane))
    after = asyncio.create_task(write(lane, "b"))
    assert (await before, await after) == ("a", "b")
    with pytest.raises(MetadataError, match="nowhere"):
        await failing
    assert await words(lane) == ["a", "b"]


async def test_more_than_go_together_go_one_lot_after_the_other(
    lane: Lane, notebook: Notebook
) -> None:
    many = [str(number) for number in range(100)]
    await asyncio.gather(*(write(lane, word) for word in many))
    assert await words(lane) == many
    assert 1 < notebook.commits < len(many)


async def test_after_closing_nothing_is_asked(lane: Lane) -> None:
    waiting = asyncio.create_task(write(lane, "a"))
    await asyncio.sleep(0)
    await lane.close()
    assert await waiting == "a"
    with pytest.raises(MetadataError, match="closed"):
        await write(lane, "b")
