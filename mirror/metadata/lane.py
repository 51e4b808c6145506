"""One database connection in a thread of its own, used by one piece of work at a time."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from mirror.ports.metadata import MetadataError

T = TypeVar("T")

Work = Callable[[Connection], T]
"""Statements that belong together. Runs in the thread: what it uses besides must be its alone.

It may be run twice: what it was done together with may fail, and all of it is undone.
"""

Explain = Callable[[SQLAlchemyError | UnicodeDecodeError], MetadataError]
"""What to tell. Of a damaged database even the message of an error may be no text."""

MOST_TOGETHER = 32
"""Pieces of work that share one commit: making it durable costs as much as the statements."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """``alone``: it takes so long that nobody shall wait for its commit but who asked for it."""

    work: Work[Any]
    alone: bool
    done: asyncio.Future[Any]


class Lane:
    """Whoever asks first goes first, and who waits meanwhile goes together.

    Cancelling a caller drops work that waits for its turn, and never tears work that has begun:
    a transaction is done or undone, also when the client that wanted it has gone.
    """

    def __init__(self, connect: Callable[[], Connection], explain: Explain) -> None:
        self._connect = connect
        self._explain = explain
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="metadata")
        self._connection: Connection | None = None
        self._waiting: deque[_Asked] = deque()
        self._busy: asyncio.Task[None] | None = None
        self._is_closed = False

    @classmethod
    async def open(cls, connect: Callable[[], Connection], explain: Explain) -> Self:
        """``connect`` is called in the thread. Raises MetadataError."""
        lane = cls(connect, explain)
        connecting = asyncio.get_running_loop().run_in_executor(lane._thread, lane._connected)
        try:
            await asyncio.shield(connecting)
        except BaseException:
            with suppress(MetadataError):
                await connecting
            await lane.close()
            raise
        return lane

    async def run(self, work: Work[T], *, alone: bool = False) -> T:
        """What the work returns, committed. Raises MetadataError, with nothing of it done."""
        if self._is_closed:
            raise MetadataError("the metadata store is closed")
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Asked(work, alone, done))
        if self._busy is None:
            self._busy = asyncio.create_task(self._take_turns())
        return await done

    async def close(self) -> None:
        """After all that was asked for. Idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._busy is not None:
            await asyncio.shield(self._busy)
        closed = asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
        try:
            await asyncio.shield(closed)
        finally:
            # Once it has nothing to do, the thread ends at once; otherwise by itself.
            self._thread.shutdown(wait=closed.done())

    async def _take_turns(self) -> None:
        """Until nobody waits."""
        loop = asyncio.get_running_loop()
        try:
            while together := self._next():
                works = [asked.work for asked in together]
                outcomes = await loop.run_in_executor(self._thread, self._do, works)
                for asked, outcome in zip(together, outcomes, strict=True):
                    _tell(asked.done, outcome)
        finally:
            self._busy = None

    def _next(self) -> Sequence[_Asked]:
        """The next that are done together, without those whose callers have gone."""
        together: list[_Asked] = []
        while self._waiting and len(together) < MOST_TOGETHER:
            asked = self._waiting[0]
            if asked.alone and together:
                break
            self._waiting.popleft()
            if asked.done.cancelled():
                continue
            together.append(asked)
            if asked.alone:
                break
        return together

    # In the thread.

    def _do(self, works: Sequence[Work[Any]]) -> Sequence["_Outcome"]:
        if len(works) > 1:
            # Some errors make the database undo the whole transaction, so nothing of it is left
            # to be gone on with, and each is tried in one of its own.
            with suppress(Exception):
                return self._transact(works)
        return [self._alone(work) for work in works]

    def _alone(self, work: Work[Any]) -> "_Outcome":
        try:
            return self._transact([work])[0]
        except Exception as error:  # noqa: BLE001 - whoever asked for it hears of it
            return _Outcome(None, error)

    def _transact(self, works: Sequence[Work[Any]]) -> Sequence["_Outcome"]:
        connection = self._connected()
        with self._explained(), connection.begin():
            return [_Outcome(work(connection), None) for work in works]

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


@dataclass(frozen=True, slots=True)
class _Outcome:
    result: Any
    error: Exception | None


def _tell(done: asyncio.Future[Any], outcome: _Outcome) -> None:
    """Nobody, when the caller has gone meanwhile."""
    if done.cancelled():
        return
    if outcome.error is None:
        done.set_result(outcome.result)
    else:
        done.set_exception(outcome.error)
