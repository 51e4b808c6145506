"""HTTP on the wire, read by a parser that forgives nothing, and a socket to speak it on."""

import asyncio
import contextlib
import json
import re
import select
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

STATUS_LINE = re.compile(rb"HTTP/(0\.9|1\.0|1\.1) ([1-5][0-9][0-9]) [ -~]*")
FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([ -~\t]*)")
NO_CONTENT = (204, 304)

ENOUGH = 4

Ending = Literal["closed", "reset", "open"]


class NotHttpError(Exception):
    """What a server must never send."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One whole answer. ``head`` are its bytes before the body."""

    version: str
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    head: bytes

    def get(self, name: str) -> str | None:
        """The one value of a header; ``None`` if it is not there."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        if len(values) > 1:
            raise NotHttpError(f"{name} was sent more than once: {values}")
        return values[0] if values else None

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    @property
    def errors(self) -> list[dict[str, Any]]:
        """The errors of the envelope, which is checked."""
        assert self.get("Content-Type") == "application/json", self.headers
        document = json.loads(self.body)
        assert set(document) == {"errors"}
        assert document["errors"]
        for error in document["errors"]:
            assert {"code", "message"} <= set(error) <= {"code", "message", "detail"}
            assert re.fullmatch("[A-Z_]+", error["code"])
            assert isinstance(error["message"], str)
        return list(document["errors"])

    @property
    def code(self) -> str:
        """Of the one error there is."""
        (error,) = self.errors
        return str(error["code"])

    @property
    def lasting(self) -> bytes:
        """Everything but the time."""
        return re.sub(rb"\r\nDate: [^\r]*", b"", self.head) + self.body


def parse_answer(received: bytes, method: str) -> tuple[Answer, bytes] | None:
    """The first answer and what follows it; ``None`` when it is not whole yet."""
    raw_head, found, rest = received.partition(b"\r\n\r\n")
    if not found:
        return None
    status_line, *lines = raw_head.split(b"\r\n")
    match = STATUS_LINE.fullmatch(status_line)
    if match is None:
        raise NotHttpError(f"not a status line: {status_line!r}")
    headers = tuple(_field(line) for line in lines)
    status = int(match[2])
    if status == 100:
        return parse_answer(rest, method)
    length = _length(headers)
    if length is None and status not in NO_CONTENT:
        raise NotHttpError(f"no length: {raw_head!r}")
    size = 0 if method == "HEAD" or status in NO_CONTENT else length or 0
    if len(rest) < size:
        return None
    answer = Answer(match[1].decode(), status, headers, rest[:size], raw_head + found)
    return answer, rest[size:]


def parse_answers(received: bytes, methods: Sequence[str]) -> list[Answer]:
    """The whole answers; ``methods`` are of the requests. Raises NotHttpError for what is left."""
    answers: list[Answer] = []
    while received:
        method = methods[len(answers)] if len(answers) < len(methods) else "GET"
        parsed = parse_answer(received, method)
        if parsed is None:
            raise NotHttpError(f"half an answer: {received[:200]!r}")
        answer, received = parsed
        answers.append(answer)
    return answers


def _field(line: bytes) -> tuple[str, str]:
    match = FIELD.fullmatch(line)
    if match is None:
        raise NotHttpError(f"not a header: {line!r}")
    return match[1].decode(), match[2].decode()


def _length(headers: tuple[tuple[str, str], ...]) -> int | None:
    if any(name.lower() == "transfer-encoding" for name, _ in headers):
        raise NotHttpError("a length is always known here")
    values = [value for name, value in headers if name.lower() == "content-length"]
    if len(values) > 1 or not all(re.fullmatch("[0-9]+", value) for value in values):
        raise NotHttpError(f"lengths: {values}")
    return int(values[0]) if values else None


@dataclass(slots=True)
class Line:
    """A connection to a server. ``received`` is what came and was not taken yet."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    received: bytes = b""
    _methods: list[str] = field(default_factory=list)

    async def send(self, *segments: bytes) -> None:
        for segment in segments:
            self.writer.write(segment)
            await self.writer.drain()

    async def arrive(self, *segments: bytes | int) -> None:
        """Each is read by a server of this event loop before the next one is sent.

        A number is so many turns of the event loop in which nothing is sent; without one it is as
        many as the server needs to answer at once.
        """
        for segment in segments:
            if isinstance(segment, bytes):
                await self.send(segment)
            for _ in range(segment if isinstance(segment, int) else ENOUGH):
                await asyncio.sleep(0)

    async def answer(self, method: str = "GET") -> Answer:
        """The next answer, whole. Raises EOFError when the connection ends before."""
        while (parsed := parse_answer(self.received, method)) is None:
            data = await self.reader.read(65536)
            if not data:
                raise EOFError(f"the connection ended after {self.received!r}")
            self.received += data
        answer, self.received = parsed
        return answer

    async def ask(self, request: bytes) -> Answer:
        await self.send(request)
        return await self.answer(request.partition(b" ")[0].decode())

    async def rest(self) -> tuple[bytes, Ending]:
        """All that comes until the other side ends the connection."""
        ending: Ending = "closed"
        try:
            while data := await self.reader.read(65536):
                self.received += data
        except ConnectionError:
            ending = "reset"
        rest, self.received = self.received, b""
        return rest, ending

    def stop_reading(self) -> None:
        """Take nothing more than what the kernel takes by itself."""
        assert isinstance(self.writer.transport, asyncio.Transport)
        self.writer.transport.pause_reading()

    async def broken(self) -> None:
        """Until the other side resets the connection, which is heard without reading."""
        loop = asyncio.get_running_loop()
        with select.epoll() as errors:
            errors.register(self.writer.get_extra_info("socket").fileno(), 0)
            heard = asyncio.Event()
            loop.add_reader(errors.fileno(), heard.set)
            try:
                await heard.wait()
            finally:
                loop.remove_reader(errors.fileno())

    def end(self) -> None:
        """Nothing more will be sent; answers are still read."""
        self.writer.write_eof()

    def reset(self) -> None:
        """Leave as a process that is killed, so that the other side hears a RST."""
        linger_no_time = b"\x01\0\0\0\0\0\0\0"
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_no_time)
        self.writer.transport.abort()


async def eventually(condition: Callable[[], bool], patience: float = 30.0) -> None:
    """For what has no event: as soon as it holds."""
    async with asyncio.timeout(patience):
        while not condition():  # noqa: ASYNC110 - what the kernel does cannot be waited for
            await asyncio.sleep(0)


async def exchanged(
    port: int, *segments: bytes | int, end: bool = True, patience: float = 30.0
) -> tuple[bytes, Ending]:
    """What comes back for these segments, as ``Line.arrive`` sends them, until the connection ends.

    The server may hang up before the last one. With ``end`` the client closes its side after it.
    """
    async with connected(port) as line, asyncio.timeout(patience):
        # At the same time, because a reset loses what was received and not yet read.
        reading = asyncio.create_task(line.rest())
        with contextlib.suppress(OSError):
            await line.arrive(*segments)
            if end:
                line.end()
        return await reading


@asynccontextmanager
async def connected(port: int, *, receive_buffer: int | None = None) -> AsyncIterator[Line]:
    """``receive_buffer``: bytes the kernel takes for a client that does not read."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=sock)
    try:
        yield Line(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def request(
    target: str, *lines: str, method: str = "GET", version: str = "HTTP/1.1", host: str = "mirror"
) -> bytes:
    """A request without a body; ``lines`` are its headers besides Host."""
    head = [f"{method} {target} {version}", f"Host: {host}", *lines, "", ""]
    return "\r\n".join(head).encode("latin-1")
