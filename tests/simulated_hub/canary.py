"""A place that nobody should ever talk to, and that notices when somebody does."""

import asyncio
import json
from types import TracebackType
from typing import Self

from tests.simulated_hub.bell import Bell


class Canary:
    """`async with Canary() as canary:` listens on loopback and records every byte.

    Without `token` it never answers. With it, every request gets that token as JSON, so that a
    client that came once is tempted to go on.
    """

    def __init__(self, token: str | None = None) -> None:
        self.connections = 0
        self.received = b""
        self.touched = asyncio.Event()
        self._token = token
        self._closed = Bell()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._record, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await self._server.wait_closed()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    async def quiet(self) -> None:
        """Wait until everyone who connected has left, so that `received` is complete."""
        await self._closed.until(lambda: not self._writers)

    async def _record(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.touched.set()
        self._writers.add(writer)
        try:
            while data := await reader.read(65536):
                self.received += data
                if self._token is not None and self.received.endswith(b"\r\n\r\n"):
                    writer.write(self._answer(self._token))
        except ConnectionError:
            pass
        finally:
            writer.close()
            self._writers.discard(writer)
            self._closed.ring()

    def _answer(self, token: str) -> bytes:
        body = json.dumps({"token": token, "access_token": token, "expires_in": 300}).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        return head.encode() + b"\r\n\r\n" + body
