"""A client's connection: equal questions get a prepared answer, all others go to the framework.

The framework takes some 60 µs for a request whose answer is known; a lookup takes one. A request
takes the short way only when it arrives whole and alone, its head holds nothing but what cannot
change the answer, and the framework has nothing under way. In doubt it goes the long way, which
is always right.
"""

import asyncio
import logging
import re
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cachetools import LRUCache

from mirror.api.prepared import PreparedAnswer, PreparedAnswers
from mirror.api.protocol import RegistryProtocol

log = logging.getLogger(__name__)

_HEADER = rb"(?:Accept|Accept-Encoding|Accept-Language|User-Agent):[ -~]{0,1024}\r\n"
_CONNECTION = rb"Connection: ?keep-alive\r\n"
_HOST = rb"Host: ?[!-~]{1,255}\r\n"

PLAIN_HEAD = re.compile(
    rb"(?i:(?:%b|%b)*+%b(?:%b|%b)*+)\r\n" % (_HEADER, _CONNECTION, _HOST, _HEADER, _CONNECTION)
)
"""Headers that change no answer, with exactly one Host. Anything else, or anything malformed, is
for the framework to judge. No line can be matched in two ways: trying them all would never end.
"""

AGENT = re.compile(rb"(?i:^User-Agent):([ -~]*)\r\n", re.MULTILINE)

HOST = re.compile(rb"(?i:^Host): ?([!-~]*)\r\n", re.MULTILINE)

LONGEST_HEAD = 4096

BODILESS = (b"GET ", b"HEAD ")

END_OF_HEAD = b"\r\n\r\n"
END_OF_CHUNKS = b"0\r\n\r\n"

NO_LINGERING = struct.pack("ii", 1, 0)

LEAST_PROGRESS = 64 * 1024
"""Bytes of what waits for a client that it must take within the write timeout."""


class PlainHeads:
    """Which heads are plain, by their bytes: clients repeat theirs with every request."""

    def __init__(self) -> None:
        self._agents: LRUCache[bytes, str | None] = LRUCache(512)

    def agent(self, head: bytes) -> str | None:
        """The user agent of a plain head, empty if it has none; ``None`` if it is not plain."""
        try:
            return self._agents[head]
        except KeyError:
            agent = self._agents[head] = _judge(head)
            return agent


def _judge(head: bytes) -> str | None:
    if PLAIN_HEAD.fullmatch(head) is None:
        return None
    found = AGENT.search(head)
    return found[1].decode("ascii").strip(" ") if found else ""


def host_of(head: bytes) -> str:
    """What a plain head says that it was sent to."""
    found = HOST.search(head)
    return found[1].decode("ascii") if found else ""


Sent = Callable[[PreparedAnswer, asyncio.Transport, str, bytes], None]
"""Told of every prepared answer that went out, with the connection, the user agent and the head."""


@dataclass(frozen=True, slots=True)
class ShortWay:
    """What it takes to answer without the framework."""

    answers: PreparedAnswers
    heads: PlainHeads
    sent: Sent


@dataclass(frozen=True, slots=True)
class Patience:
    """In seconds. ``keepalive``: after so long the framework closes a connection on which *it* has
    seen nothing. ``write``: how long a client may take next to nothing of what waits for it.
    """

    keepalive: float
    write: float


class Connection(asyncio.Protocol):
    """The protocol the event loop sees, in front of the framework's own."""

    def __init__(
        self, framework: RegistryProtocol, short_way: ShortWay, patience: Patience
    ) -> None:
        self._framework = framework
        self._answers = short_way.answers
        self._heads = short_way.heads
        self._sent = short_way.sent
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._idle = True
        self._alone = False
        self._seen_at = self._loop.time()
        self._answered = 0
        self._last: int | None = None
        self._waiting = 0
        self._cut: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport
            # So that writing is paused whenever a byte waits for the client to take it.
            transport.set_write_buffer_limits(0)
        self._framework.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_watching()
        self._framework.connection_lost(exc)

    def pause_writing(self) -> None:
        self._watch()
        self._framework.pause_writing()

    def resume_writing(self) -> None:
        self._stop_watching()
        self._framework.resume_writing()

    def eof_received(self) -> bool:
        """A client may close its side once it has asked, and still wait for the answer."""
        self._framework.eof_received()
        # A request whose body will never be whole is no request.
        self._last = self._framework.received - self._framework.awaits_body
        return self._answered < self._last

    def data_received(self, data: bytes) -> None:
        if self._idle and self._answer(data):
            return
        # The short way opens again only behind one whole request without a body: then the end
        # of its answer is the end of all that the framework has of this connection.
        self._alone = self._idle and _is_whole(data)
        self._idle = False
        self._seen_at = self._loop.time()
        for piece in self._split(data):
            self._framework.data_received(piece)

    def answered(self, *, goes_on: bool) -> None:
        """The framework has sent an answer whole; ``goes_on`` unless it said it would close."""
        self._answered += 1
        self._idle = self._alone and goes_on
        if self._answered == self._last:
            self._framework.close()

    def _split(self, data: bytes) -> Iterator[bytes]:
        """After the end of every head and body: the framework forgets good requests that come in
        one piece with a malformed one. A body may be full of what looks like the end of a head.
        """
        start = 0
        while start < len(data):
            left = self._framework.body_left
            if left is None:
                stop = _after(END_OF_CHUNKS, data, start)
            elif left:
                stop = start + left
            else:
                stop = _after(END_OF_HEAD, data, start)
            yield data[start:stop]
            start = stop

    def _answer(self, data: bytes) -> bool:
        transport = self._transport
        if transport is None or len(data) > LONGEST_HEAD or self._must_be_seen():
            return False
        line, _, head = data.partition(b"\r\n")
        prepared = self._answers.find(line)
        if prepared is None:
            return False
        agent = self._heads.agent(head)
        if agent is None or transport.is_closing() or transport.get_write_buffer_size():
            return False
        transport.write(prepared.content)
        self._sent(prepared, transport, agent, head)
        return True

    def _must_be_seen(self) -> bool:
        """Whether the framework would soon take the connection for an idle one."""
        return self._loop.time() - self._seen_at > self._patience.keepalive / 2

    def _watch(self) -> None:
        if self._transport is not None:
            self._waiting = self._transport.get_write_buffer_size()
            self._cut = self._loop.call_later(self._patience.write, self._cut_off)

    def _stop_watching(self) -> None:
        if self._cut is not None:
            self._cut.cancel()
            self._cut = None

    def _cut_off(self) -> None:
        """Nothing else ends this: a closed connection still waits for what was written to it."""
        if self._transport is None:
            return
        taken = self._waiting - self._transport.get_write_buffer_size()
        if taken >= LEAST_PROGRESS:
            self._watch()
            return
        log.info("cut off a client that took %d bytes in %.0f s", taken, self._patience.write)
        reset(self._transport)


def reset(transport: asyncio.Transport) -> None:
    """Cut a client off that does not read: the kernel shall not keep for it what it was sent."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGERING)
    transport.abort()


def _after(end: bytes, data: bytes, start: int) -> int:
    found = data.find(end, start)
    return len(data) if found < 0 else found + len(end)


def _is_whole(data: bytes) -> bool:
    """One request, all of it, and no body: nothing else of this connection is on its way."""
    lower = data.lower()
    return (
        data.startswith(BODILESS)
        and data.endswith(END_OF_HEAD)
        and data.count(END_OF_HEAD) == 1
        and b"content-length" not in lower
        and b"transfer-encoding" not in lower
        and b"upgrade" not in lower
    )
