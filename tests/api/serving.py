"""A server over adapters in memory: as it runs in production, without a disk or a hub."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from mirror.api.access_log import AccessLine
from mirror.api.manifests import PREPARED
from mirror.api.prepared import PreparedAnswers
from mirror.api.routes import make_application
from mirror.api.server import Server, ServerSettings
from tests.api.services import MemoryMirror
from tests.world import SettableClock


class RacingClock(SettableClock):
    """An hour passes whenever it is looked at, so that nothing is ever kept for long enough."""

    def monotonic(self) -> float:
        self._elapsed += 3600
        return self._elapsed


@dataclass(slots=True)
class Serving:
    port: int
    lines: list[AccessLine] = field(default_factory=list)

    def was_prepared(self) -> bool:
        """Whether the last answer took the short way, which takes no time at all."""
        return self.lines[-1].seconds == 0.0


@asynccontextmanager
async def serving(
    mirror: MemoryMirror,
    *,
    keepalive: float = 75.0,
    drain: float = 1.0,
    prepares: bool = True,
) -> AsyncIterator[Serving]:
    application: web.Application = make_application(mirror.services)
    if not prepares:
        application[PREPARED] = PreparedAnswers(RacingClock())
    lines: list[AccessLine] = []
    settings = ServerSettings("127.0.0.1", 0, keepalive, drain)
    server = Server(application, settings, lines.append)
    await server.start()
    try:
        yield Serving(server.port, lines)
    finally:
        await server.stop()
