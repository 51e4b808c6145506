"""Events in the file: what a restart and a kill leave of them, and what damage does."""

import asyncio
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from mirror.metadata.events import SqlEventQueue
from mirror.metadata.sqlite_database import open_sqlite_database
from mirror.ports.events import Addressed, Standing
from mirror.ports.metadata import MetadataError
from tests.conformance.events import AUDIT, CI, MOVED, ROOMY, enqueue, open_sql, to, waiting
from tests.conformance.metadata import at

PROJECT = Path(__file__).parents[2]

DIES = """
import asyncio, os, signal, sys
from itertools import count
from pathlib import Path
from sqlalchemy import Engine, event
from tests.conformance.events import AUDIT, CI, ROOMY, open_sql, to
from tests.conformance.metadata import at

async def main():
    async with open_sql(Path(sys.argv[1])) as queue:
        await queue.enqueue([*to(CI, "a"), *to(AUDIT, "x")], ROOMY, at(0))
        numbers = count(1)
        def die(*_):
            if next(numbers) > int(sys.argv[2]):
                os.kill(os.getpid(), signal.SIGKILL)
        event.listen(Engine, "before_cursor_execute", die)
        await queue.enqueue([*to(CI, "b"), *to(AUDIT, "y")], ROOMY, at(1))
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    async with open_sql(tmp_path) as queue:
        await enqueue(queue, CI, "a", "b", "c")
        await queue.done(CI, (await queue.take(CI, 1))[0].number)
        await queue.postpone(CI, 2, at(30))
    async with open_sql(tmp_path) as queue:
        assert await queue.standings() == {CI: Standing(2, 2, at(30))}
        await enqueue(queue, CI, "d")
        assert await waiting(queue, CI) == ["b", "c", "d"]


@pytest.mark.parametrize("statements", [2, 3, 5, 7])
async def test_killed_anywhere_events_are_queued_for_all_or_for_none(
    tmp_path: Path, statements: int
) -> None:
    command = [sys.executable, "-c", DIES, str(tmp_path), str(statements)]
    killed = await asyncio.to_thread(subprocess.run, command, cwd=PROJECT, check=False)
    assert killed.returncode == -signal.SIGKILL
    async with open_sql(tmp_path) as queue:
        found = await waiting(queue, CI), await waiting(queue, AUDIT)
    assert found in ((["a"], ["x"]), (["a", "b"], ["x", "y"]))


async def test_an_event_that_cannot_be_read_is_an_error_and_no_guess(tmp_path: Path) -> None:
    async with open_sql(tmp_path) as queue:
        await queue.enqueue([Addressed(CI, MOVED)], ROOMY, at(0))
    with closing(sqlite3.connect(tmp_path / "metadata.db")) as connection:
        connection.execute("UPDATE queued_events SET event = '{\"id\": 1}'")
        connection.commit()
    async with open_sql(tmp_path) as queue:
        with pytest.raises(MetadataError, match="damaged: an event cannot be read"):
            await queue.take(CI, 1)


async def test_what_a_later_version_adds_to_an_event_is_passed_over(tmp_path: Path) -> None:
    async with open_sql(tmp_path) as queue:
        await queue.enqueue([Addressed(CI, MOVED)], ROOMY, at(0))
    with closing(sqlite3.connect(tmp_path / "metadata.db")) as connection:
        connection.execute("UPDATE queued_events SET event = '{\"new\": 1,' || substr(event, 2)")
        connection.commit()
    async with open_sql(tmp_path) as queue:
        assert [queued.event for queued in await queue.take(CI, 1)] == [MOVED]


async def test_a_closed_database_says_so(tmp_path: Path) -> None:
    database = await open_sqlite_database(tmp_path / "metadata.db")
    await database.close()
    with pytest.raises(MetadataError):
        await SqlEventQueue(database).enqueue(to(CI, "a"), ROOMY, at(0))
