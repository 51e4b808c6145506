"""One database connection, used by one piece of work at a time."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from mirror.ports.metadata import MetadataError

T = TypeVar("T")

Work = Callable[[Connection], T]
"""Statements that belong together. Does no other waiting: the connection is its alone meanwhile."""

Explain = Callable[[SQLAlchemyError], MetadataError]


class Lane:
    """Whoever asks first goes first.

    Cancelling a caller drops work that waits for its turn, and never tears work that has begun:
    a transaction is done or undone, also when the client that wanted it has gone.
    """

    def __init__(self, connection: AsyncConnection, explain: Explain) -> None:
        self._connection = connection
        self._explain = explain
        self._turn = asyncio.Lock()
        self._current: asyncio.Task[object] | None = None
        self._is_closed = False

    async def run(self, work: Work[T]) -> T:
        """What the work returns, committed. Raises MetadataError, with nothing of it done."""
        await self._turn.acquire()
        if self._is_closed:
            self._turn.release()
            raise MetadataError("the metadata store is closed")
        task = asyncio.create_task(self._transact(work))
        self._current = task
        task.add_done_callback(self._end_turn)
        return await asyncio.shield(task)

    async def close(self) -> None:
        """After the work that has begun. Idempotent."""
        async with self._turn:
            if not self._is_closed:
                self._is_closed = True
                await self._connection.close()
                await self._connection.engine.dispose()

    async def _transact(self, work: Work[T]) -> T:
        with self._explained():
            async with self._connection.begin():
                return await self._connection.run_sync(work)

    def _end_turn(self, task: "asyncio.Task[T]") -> None:
        self._turn.release()
        if not task.cancelled():
            task.exception()  # nobody may be left to take it

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            raise self._explain(error) from error
