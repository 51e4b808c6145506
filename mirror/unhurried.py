"""Threads for work that may take long and cannot be broken off: nobody waits for them at the end.

The executors of the standard library are waited for when the process ends, whatever they do.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

T = TypeVar("T")


class UnhurriedThreads:
    """At most so many at the same time; who comes later waits for a place."""

    def __init__(self, most: int, name: str) -> None:
        self._places = asyncio.Semaphore(most)
        self._name = name

    async def run(self, work: Callable[[], T]) -> T:
        """What ``work`` returns or raises. Cancelled, it leaves the thread to itself, and a place
        to somebody else.
        """
        async with self._places:
            outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()
            thread = threading.Thread(
                target=_settle, args=(work, outcome), name=self._name, daemon=True
            )
            thread.start()
            return await outcome


def _settle(work: Callable[[], T], outcome: "asyncio.Future[T]") -> None:
    try:
        tell = partial(outcome.set_result, work())
    except Exception as error:  # noqa: BLE001 - whatever it is, it is for whoever asked
        tell = partial(outcome.set_exception, error)
    with suppress(RuntimeError):  # the loop may be closed by now
        outcome.get_loop().call_soon_threadsafe(_unless_cancelled, outcome, tell)


def _unless_cancelled(outcome: "asyncio.Future[T]", tell: Callable[[], None]) -> None:
    if not outcome.cancelled():
        tell()
