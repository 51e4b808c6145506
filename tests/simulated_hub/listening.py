"""A listening socket on loopback that can go away and come back on the same port.

`asyncio.Server` loses connections that are accepted in the turn of the loop in which it closes,
and leaves their sockets open. So this accepts for itself.
"""

import asyncio
import socket
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
    """Rung when a connection begins and when it ends."""
    tls: ssl.SSLContext | None = None
    port: int = 0
    accepted: int = 0
    defects: list[Exception] = field(default_factory=list)
    """What our own code raised; a test must not pass by it."""
    _listening: socket.socket | None = None
    _conversations: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def open(self) -> int:
        return len(self._conversations)

    def start(self) -> None:
        listening = socket.create_server(("127.0.0.1", self.port), backlog=BACKLOG)
        listening.setblocking(False)
        self.port = listening.getsockname()[1]
        self._listening = listening
        asyncio.get_running_loop().add_reader(listening, self._accept, listening)

    async def stop(self) -> None:
        if self._listening is None:
            return
        asyncio.get_running_loop().remove_reader(self._listening)
        self._listening.close()
        self._listening = None
        await asyncio.sleep(0)  # a task cancelled before its first step could not close its socket
        conversations = set(self._conversations)
        for conversation in conversations:
            conversation.cancel()
        await asyncio.gather(*conversations, return_exceptions=True)

    def _accept(self, listening: socket.socket) -> None:
        try:
            accepted, _ = listening.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        accepted.setblocking(False)
        self.accepted += 1
        task = asyncio.get_running_loop().create_task(self._welcome(accepted))
        self._conversations.add(task)
        self.bell.ring()
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._conversations.discard(task)
        self.bell.ring()

    async def _welcome(self, accepted: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.connect_accepted_socket(Connection, accepted, ssl=self.tls)
        except OSError:  # a client that does not trust the certificate, or left
            accepted.close()
        else:
            await self._converse(connection)

    async def _converse(self, connection: Connection) -> None:
        try:
            await self.talk(connection)
        except PeerGoneError:
            connection.abort()
        except asyncio.CancelledError:
            connection.abort()
            raise
        except Exception as defect:  # noqa: BLE001 - kept, and raised when the hub closes
            self.defects.append(defect)
            connection.abort()
        finally:
            connection.close()
