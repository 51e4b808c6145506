"""One database connection in a thread of its own, used by one piece of work at a time."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Self, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from mirror.ports.metadata import MetadataError

T = TypeVar("T")

Work = Callable[[Connection], T]
"""Statements that belong together. Runs in the thread: what it uses besides must be its alone."""

Explain = Callable[[SQLAlchemyError | UnicodeDecodeError], MetadataError]
"""What to tell. Of a damaged database even the message of an error may be no text."""


class Lane:
    """Whoever asks first goes first.

    Cancelling a caller drops work that waits for its turn, and never tears work that has begun:
    a transaction is done or undone, also when the client that wanted it has gone.
    """

    def __init__(self, connect: Callable[[], Connection], explain: Explain) -> None:
        self._connect = connect
        self._explain = explain
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="metadata")
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()
        self._is_closed = False

    @classmethod
    async def open(cls, connect: Callable[[], Connection], explain: Explain) -> Self:
        """``connect`` is called in the thread. Raises MetadataError."""
        lane = cls(connect, explain)
        try:
            await lane._in_turn(lane._connected)
        except BaseException:
            await lane.close()
            raise
        return lane

    async def run(self, work: Work[T]) -> T:
        """What the work returns, committed. Raises MetadataError, with nothing of it done."""
        return await self._in_turn(lambda: self._transact(work))

    async def close(self) -> None:
        """After the work that has begun. Idempotent."""
        async with self._turn:
            if self._is_closed:
                return
            self._is_closed = True
            closed = asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
            try:
                await asyncio.shield(closed)
            finally:
                # Once it has nothing to do, the thread ends at once; otherwise by itself.
                self._thread.shutdown(wait=closed.done())

    async def _in_turn(self, step: Callable[[], T]) -> T:
        await self._turn.acquire()
        if self._is_closed:
            self._turn.release()
            raise MetadataError("the metadata store is closed")
        done = asyncio.get_running_loop().run_in_executor(self._thread, step)
        done.add_done_callback(self._end_turn)
        return await asyncio.shield(done)

    def _end_turn(self, done: "asyncio.Future[T]") -> None:
        self._turn.release()
        if not done.cancelled():
            done.exception()  # nobody may be left to take it

    # In the thread.

    def _transact(self, work: Work[T]) -> T:
        connection = self._connected()
        with self._explained(), connection.begin():
            return work(connection)

    def _connected(self) -> Connection:
        if self._connection is None:
            with self._explained():
                self._connection = self._connect()
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection.engine.dispose()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, UnicodeDecodeError) as error:
            raise self._explain(error) from error
