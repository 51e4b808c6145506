"""A whole mirror running in the test's own process, with a clock that tests set."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp

from mirror.api.access_log import AccessLine
from mirror.app import Surroundings, running
from mirror.config import load_config
from tests.simulated_hub import SimulatedHub
from tests.simulated_hub.bell import Bell

START = datetime(2026, 1, 1, tzinfo=UTC)


class SettableClock:
    """Stands still until it is moved."""

    def __init__(self, now: datetime = START) -> None:
        self._now = now
        self._elapsed = 1000.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._elapsed

    def advance(self, span: timedelta) -> None:
        self._now += span
        self._elapsed += span.total_seconds()

    def jump(self, span: timedelta) -> None:
        """The wall clock is set; time has not passed."""
        self._now += span


@dataclass(slots=True)
class Reply:
    """An answer, read whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class Mirror:
    """A running server and a client of it."""

    url: str
    data: Path
    clock: SettableClock
    client: aiohttp.ClientSession
    lines: list[AccessLine] = field(default_factory=list)
    bell: Bell = field(default_factory=Bell)
    """Rung for every line of the access log."""

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    async def get(
        self, path: str, headers: Mapping[str, str] | None = None, method: str = "GET"
    ) -> Reply:
        async with self.client.request(method, self.url + path, headers=headers) as response:
            return Reply(response.status, response.headers, await response.read())

    async def head(self, path: str, headers: Mapping[str, str] | None = None) -> Reply:
        return await self.get(path, headers, "HEAD")

    async def logged(self, count: int, timeout: float = 30.0) -> None:  # noqa: ASYNC109 - a failing test must not hang
        """Wait until the access log has so many lines."""
        async with asyncio.timeout(timeout):
            await self.bell.until(lambda: len(self.lines) >= count)


def settings(hub: SimulatedHub | None, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a mirror of this hub as docker.io, on a port of the system's choice."""
    environ = {
        "MIRROR__LISTEN": "127.0.0.1:0",
        "MIRROR__CACHE__MIN_FREE": "1MiB",
        "MIRROR__TIMEOUTS__DRAIN": "1s",
    }
    if hub is not None:
        environ["MIRROR__UPSTREAMS"] = (
            f'{{docker.io: {{url: "{hub.url}", realms: ["{hub.token_host}"], default: true}}}}'
        )
    return environ | dict(more or {})


@asynccontextmanager
async def running_mirror(
    data: Path,
    hub: SimulatedHub | None,
    more: Mapping[str, str] | None = None,
    clock: SettableClock | None = None,
    stopping: asyncio.Event | None = None,
) -> AsyncIterator[Mirror]:
    """Start, and stop in order. ``more`` are settings as environment variables."""
    clock = clock or SettableClock()
    lines: list[AccessLine] = []
    bell = Bell()

    def sink(line: AccessLine) -> None:
        lines.append(line)
        bell.ring()

    environ = settings(hub, more) | {"MIRROR__DATA": str(data)}
    config = load_config(None, environ)
    surroundings = Surroundings(sink, stopping or asyncio.Event(), clock, _no_pause)
    async with running(config, surroundings) as server:
        timeout = aiohttp.ClientTimeout(total=30)
        async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as client:
            yield Mirror(f"http://127.0.0.1:{server.port}", data, clock, client, lines, bell)


async def _no_pause(_failures: int) -> None:
    await asyncio.sleep(0)
