"""A listening socket on loopback that can go away and come back on the same port."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tests.simulated_hub.bell import Bell
from tests.simulated_hub.wire import Connection, PeerGoneError

BACKLOG = 1024


@dataclass(slots=True)
class Listener:
    talk: Callable[[Connection], Awaitable[None]]
    bell: Bell
    """Rung when a connection ends."""
    tls: ssl.SSLContext | None = None
    port: int = 0
    accepted: int = 0
    defects: list[Exception] = field(default_factory=list)
    """What our own code raised; a test must not pass by it."""
    _server: asyncio.Server | None = None
    _conversations: dict[asyncio.Task[None], Connection] = field(default_factory=dict)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def open(self) -> int:
        return len(self._conversations)

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self._started),
            "127.0.0.1",
            self.port,
            ssl=self.tls,
            backlog=BACKLOG,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        conversations = dict(self._conversations)
        for task, connection in conversations.items():
            connection.abort()
            task.cancel()
        await asyncio.gather(*conversations, return_exceptions=True)
        await server.wait_closed()

    def _started(self, connection: Connection) -> None:
        if self._server is None:  # accepted in the turn of the loop in which stop() came
            connection.abort()
            return
        self.accepted += 1
        task = asyncio.get_running_loop().create_task(self._converse(connection))
        self._conversations[task] = connection
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._conversations[task]
        self.bell.ring()

    async def _converse(self, connection: Connection) -> None:
        try:
            await self.talk(connection)
        except PeerGoneError:
            connection.abort()
        except Exception as defect:  # noqa: BLE001 - kept, and raised when the hub closes
            self.defects.append(defect)
            connection.abort()
        finally:
            connection.close()
