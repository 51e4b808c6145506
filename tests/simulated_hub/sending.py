"""Getting an answer onto the wire: at full speed, at a given rate, or badly."""

import asyncio
from dataclasses import dataclass, field

from tests.simulated_hub.bell import Bell
from tests.simulated_hub.log import Request
from tests.simulated_hub.reply import Reply
from tests.simulated_hub.spoiling import Manner
from tests.simulated_hub.wire import Connection, PeerGoneError

PIECE = 256 * 1024
STEPS_PER_SECOND = 50


@dataclass(slots=True)
class Gate:
    """Where stalled answers wait to be let on."""

    waiting: int = 0
    bell: Bell = field(default_factory=Bell)
    """Rung when somebody arrives here, and with every piece sent."""
    _opening: asyncio.Event = field(default_factory=asyncio.Event)
    """Replaced at each release: who arrives later waits for the next one."""

    def release(self) -> None:
        self._opening.set()
        self._opening = asyncio.Event()

    async def passed(self, connection: Connection) -> None:
        """Returns at release; raises when the client leaves first."""
        self.waiting += 1
        self.bell.ring()
        release = asyncio.ensure_future(self._opening.wait())
        departure = asyncio.ensure_future(connection.gone())
        try:
            await asyncio.wait((release, departure), return_when=asyncio.FIRST_COMPLETED)
            if departure.done():
                raise PeerGoneError
        finally:
            release.cancel()
            departure.cancel()
            self.waiting -= 1
            self.bell.ring()


@dataclass(frozen=True, slots=True)
class Sender:
    """One answer on its way. `rate` is bytes of body a second; None: as fast as it goes."""

    connection: Connection
    request: Request
    manner: Manner
    gate: Gate
    rate: int | None = None

    async def send(self, reply: Reply) -> bool:
        """Whether the whole answer went out; False when a fault cut it."""
        if self.manner.delay_seconds:
            await asyncio.sleep(self.manner.delay_seconds)
        if self.manner.breaks and self.manner.at is None and not await self._survives():
            return False
        if self.manner.headless:
            await self._write(memoryview(reply.body))
            return True
        if self.request.method == "HEAD":
            await self._send_head(reply)
            return await self._survives_body_break()
        small = len(reply.body) < PIECE and self.manner == Manner() and self.rate is None
        if small:
            await self.connection.write(b"".join((reply.head, reply.body)))
            self.request.sent = len(reply.body)
            return True
        await self._send_head(reply)
        return await self._send_body(memoryview(reply.body))

    async def _survives_body_break(self) -> bool:
        return self.manner.at is None or self.manner.breaks is None or await self._survives()

    async def _survives(self) -> bool:
        """Do what the manner says happens here; False when that ended the connection."""
        match self.manner.breaks:
            case "reset":
                await self.connection.reset()
                return False
            case "close":
                self.connection.close()
                return False
            case _:
                await self.gate.passed(self.connection)
                return True

    async def _send_head(self, reply: Reply) -> None:
        if self.manner.head_seconds is None:
            await self.connection.write(reply.head)
            return
        for octet in reply.head:
            await self.connection.write(bytes((octet,)))
            await asyncio.sleep(self.manner.head_seconds)

    async def _send_body(self, body: memoryview) -> bool:
        await self._paced(body[: self.manner.at])
        rest = body[len(body) if self.manner.at is None else self.manner.at :]
        if self.manner.endless:
            while body:
                await self._paced(body)
        if self.manner.drip_seconds is not None:
            await self._dripped(rest, self.manner.drip_seconds)
            return True
        if self.manner.at is not None and not await self._survives():
            return False
        await self._paced(rest)
        return True

    async def _dripped(self, body: memoryview, seconds: float) -> None:
        for position in range(len(body)):
            await self._write(body[position : position + 1])
            await asyncio.sleep(seconds)

    async def _paced(self, body: memoryview) -> None:
        piece = PIECE if self.rate is None else max(1, min(PIECE, self.rate // STEPS_PER_SECOND))
        loop = asyncio.get_running_loop()
        started = loop.time()
        for position in range(0, len(body), piece):
            await self._write(body[position : position + piece])
            if self.rate is not None:
                due = started + min(position + piece, len(body)) / self.rate
                await asyncio.sleep(due - loop.time())

    async def _write(self, piece: memoryview) -> None:
        await self.connection.write(piece)
        self.request.sent += len(piece)
        self.gate.bell.ring()
