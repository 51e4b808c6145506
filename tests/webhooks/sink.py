"""A real HTTP server that is told how to receive webhooks, and notes all that it was sent."""

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.simulated_hub.bell import Bell

Manner = Literal["answer", "hang", "reset", "half", "endless", "garbage"]
"""What it does with a request once it has read it."""

NO_BODY = "\r\n"

NO_LINGERING = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Reception:
    """``head`` are further header lines of an answer."""

    manner: Manner = "answer"
    status: int = 200
    head: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Received:
    """A request. The names of headers are in lower case."""

    line: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def events(self) -> list[dict[str, Any]]:
        events = json.loads(self.body)["events"]
        assert isinstance(events, list)
        return events

    @property
    def ids(self) -> list[str]:
        return [event["id"] for event in self.events]


@dataclass(slots=True)
class Sink:
    """``receptions`` are for the next requests, ``reception`` is for those after them."""

    reception: Reception = Reception()
    receptions: list[Reception] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    taken: list[Received] = field(default_factory=list)
    """Those that were answered well."""
    bell: Bell = field(default_factory=Bell)
    port: int = 0
    scheme: str = "http"
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/hook?token=in-the-url"

    @property
    def ids(self) -> list[str]:
        """Of the events in what it took, as often as they came."""
        return [each for received in self.taken for each in received.ids]

    async def until_received(self, count: int) -> None:
        async with asyncio.timeout(20):
            await self.bell.until(lambda: len(self.received) >= count)

    async def until_taken(self, events: int) -> None:
        async with asyncio.timeout(20):
            await self.bell.until(lambda: len(set(self.ids)) >= events)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)
        }
        body = await reader.readexactly(int(headers["content-length"]))
        received = Received(line, headers, body)
        reception = self.receptions.pop(0) if self.receptions else self.reception
        self.received.append(received)
        if reception.manner == "answer" and 200 <= reception.status < 300:
            self.taken.append(received)
        self.bell.ring()
        await self._receive(reception, reader, writer)

    async def _receive(
        self, reception: Reception, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        status = f"HTTP/1.1 {reception.status} X\r\n"
        match reception.manner:
            case "answer":
                head = "".join(f"{line}\r\n" for line in reception.head)
                body = "" if reception.status == 204 else "Content-Length: 2\r\n\r\nok"
                writer.write(f"{status}{head}{body or NO_BODY}".encode())
            case "reset":
                sock: socket.socket = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGERING)
                writer.transport.abort()
            case "half":
                writer.write(status.encode())
                await reader.read()
            case "hang":
                await reader.read()
            case "endless":
                writer.write(f"{status}Transfer-Encoding: chunked\r\n\r\n".encode())
                while True:
                    writer.write(b"10000\r\n" + bytes(65536) + b"\r\n")
                    await writer.drain()
            case "garbage":
                writer.write(b"SSH-2.0-OpenSSH_9.9\r\n")

    def hang_up(self) -> None:
        for writer in self._writers:
            writer.transport.abort()


@asynccontextmanager
async def running_sink(tls: ssl.SSLContext | None = None, port: int = 0) -> AsyncIterator[Sink]:
    sink = Sink(scheme="http" if tls is None else "https")
    server = await asyncio.start_server(sink.serve, "127.0.0.1", port, ssl=tls)
    sink.port = server.sockets[0].getsockname()[1]
    try:
        yield sink
    finally:
        server.close()
        sink.hang_up()
        await server.wait_closed()
