"""Waiting for the next change, whatever it is, without polling."""

import asyncio
from collections.abc import Callable


class Bell:
    """Rung by plain code; everyone who waits hears the next ring."""

    def __init__(self) -> None:
        self._listeners: set[asyncio.Future[None]] = set()

    def ring(self) -> None:
        for listener in self._listeners:
            if not listener.done():
                listener.set_result(None)

    async def heard(self) -> None:
        listener = asyncio.get_running_loop().create_future()
        self._listeners.add(listener)
        try:
            await listener
        finally:
            self._listeners.discard(listener)

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self.heard()
