"""One TCP connection as a server sees it, able to break every rule of HTTP.

A web framework would refuse to send wrong framing, so bytes are written here as they are given.
What they say is decided elsewhere.
"""

import asyncio
import contextlib
import fcntl
import socket
import struct
from typing import cast

from tests.simulated_hub.bell import Bell

BACKLOG_LIMIT = 256 * 1024
INPUT_LIMIT = 1024 * 1024
UNSENT_BYTES = 0x894B  # SIOCOUTQNSD of Linux
FLUSH_SECONDS = 5.0


class PeerGoneError(Exception):
    """The client closed the connection, or never completed its request."""


class Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._input = bytearray()
        self._news = Bell()
        self._ended = False
        self._lost = False
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=BACKLOG_LIMIT)

    def data_received(self, data: bytes) -> None:
        self._input += data
        if len(self._input) > INPUT_LIMIT:
            self._transport.abort()
        self._news.ring()

    def eof_received(self) -> bool:
        """A half-closed connection still gets its answer; TLS knows no half."""
        self._ended = True
        self._news.ring()
        return self._transport.get_extra_info("ssl_object") is None

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the reason does not matter
        self._lost = True
        self._news.ring()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._news.ring()

    @property
    def is_gone(self) -> bool:
        return self._ended or self._lost

    async def gone(self) -> None:
        await self._news.until(lambda: self.is_gone)

    async def read_line_block(self) -> bytes:
        """Everything up to and without the empty line; empty when the client said goodbye."""
        await self._news.until(lambda: b"\r\n\r\n" in self._input or self.is_gone)
        block, found, rest = bytes(self._input).partition(b"\r\n\r\n")
        if not found:
            return b""
        self._input = bytearray(rest)
        return block

    async def read(self, size: int) -> bytes:
        await self._news.until(lambda: len(self._input) >= size or self.is_gone)
        if len(self._input) < size:
            raise PeerGoneError
        data = bytes(self._input[:size])
        del self._input[:size]
        return data

    async def write(self, data: bytes | memoryview) -> None:
        # A transport that broke tells only in the next round of the loop, and until then takes all.
        if self._lost or self._transport.is_closing():
            raise PeerGoneError
        self._transport.write(data)
        await self._news.until(lambda: not self._paused or self._lost)
        if self._lost:
            raise PeerGoneError

    async def reset(self) -> None:
        """End with RST, after everything written so far has left this side."""
        await self._flushed()
        self.abort()

    def close(self) -> None:
        self._transport.close()

    def abort(self) -> None:
        """End with RST now; what was not sent yet is lost."""
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    @property
    def _socket(self) -> socket.socket:
        return cast("socket.socket", self._transport.get_extra_info("socket"))

    async def _flushed(self) -> None:
        """The kernel has no event for an empty send queue, so this one place asks again."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + FLUSH_SECONDS
        while not self._lost and self._unsent() and loop.time() < deadline:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.001)

    def _unsent(self) -> int:
        with contextlib.suppress(OSError):
            queued = fcntl.ioctl(self._socket.fileno(), UNSENT_BYTES, struct.pack("i", 0))
            return self._transport.get_write_buffer_size() + int(struct.unpack("i", queued)[0])
        return 0
