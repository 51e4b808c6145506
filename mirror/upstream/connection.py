"""One HTTP exchange at a time with whatever host: no redirects, no retries, no credentials added.

Every wait has a deadline, nothing is decompressed, no cookie is kept, no proxy is taken from the
environment, and the guard sees every address.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Literal

import aiohttp
from aiohttp import (
    ClientHandlerType,
    ClientRequest,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    TraceConfig,
)
from yarl import URL

from mirror.ports.upstream import UpstreamInvalid, UpstreamUnreachable
from mirror.upstream.errors import translated
from mirror.upstream.guard import Guard
from mirror.upstream.origin import origin_of
from mirror.upstream.resolver import Resolver
from mirror.upstream.settings import UpstreamSettings
from mirror.upstream.tally import Tally

_MOST_CONNECTIONS = 500
_KEEP_ALIVE_SECONDS = 30.0
_LONGEST_HEADER = 64 * 1024
_READ_BUFFER = 256 * 1024
_SLOWEST_PACE = 1024
_LOOK_AFTER_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """Exactly what is sent; ``url`` as ``parse_remote_url`` returns it."""

    method: Literal["GET", "HEAD"]
    url: URL
    headers: tuple[tuple[str, str], ...]


class Connection:
    """The connections to a registry and to the hosts it sends us to."""

    def __init__(
        self, settings: UpstreamSettings, guard: Guard, resolver: Resolver, tally: Tally
    ) -> None:
        self._name = settings.name
        self._timeouts = settings.timeouts
        self._tls = settings.tls
        self._guard = guard
        self._resolver = resolver
        self._tally = tally
        self._session: ClientSession | None = None
        self._is_closed = False

    async def send(self, request: HttpRequest) -> ClientResponse:
        """The answer as soon as its headers are there; whoever asked closes it."""
        host = origin_of(request.url).authority
        self._tally.requests += 1
        with translated(self._name, host):
            # The session minds the time to connect; what is left of it is not for the headers.
            async with asyncio.timeout(self._timeouts.connect + self._timeouts.headers) as deadline:
                return await self._open_session().request(
                    request.method,
                    request.url,
                    headers=request.headers,
                    allow_redirects=False,
                    trace_request_ctx=deadline,
                )

    async def read(self, response: ClientResponse, limit: int) -> bytes:
        """The whole of a small body. Raises UpstreamInvalid when it exceeds ``limit`` bytes."""
        host = origin_of(response.url).authority
        body = bytearray()
        with translated(self._name, host):
            async with asyncio.timeout(self._timeouts.headers):
                async for chunk in self.stream(response):
                    body += chunk
                    if len(body) > limit:
                        raise UpstreamInvalid(f"{self._name}: {host} sent more than {limit} bytes")
        return bytes(body)

    async def stream(self, response: ClientResponse) -> AsyncIterator[bytes]:
        """The body as it comes, as long as it comes fast enough while somebody waits for it."""
        loop = asyncio.get_running_loop()
        host = origin_of(response.url).authority
        period = self._timeouts.progress
        waited, received = 0.0, 0
        while True:
            began = loop.time()
            with translated(self._name, host):
                chunk = await _receive(response, began + period - waited)
            if not chunk:
                return
            self._tally.bytes += len(chunk)
            waited, received = waited + loop.time() - began, received + len(chunk)
            if received >= period * _SLOWEST_PACE:
                waited, received = 0.0, 0
            yield chunk

    async def close(self) -> None:
        """Idempotent. Answers that are still open break."""
        self._is_closed = True
        if self._session is not None:
            await self._session.close()
        await self._resolver.close()

    def _open_session(self) -> ClientSession:
        if self._is_closed:
            raise UpstreamUnreachable(f"{self._name}: this server is stopping")
        if self._session is None:
            self._session = ClientSession(
                connector=self._make_connector(),
                timeout=ClientTimeout(connect=self._timeouts.connect),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                read_bufsize=_READ_BUFFER,
                max_line_size=_LONGEST_HEADER,
                max_field_size=_LONGEST_HEADER,
                middlewares=(_send_once,),
                trace_configs=[_header_deadline(self._timeouts.headers)],
            )
        return self._session

    def _make_connector(self) -> aiohttp.TCPConnector:
        return aiohttp.TCPConnector(
            limit=_MOST_CONNECTIONS,
            keepalive_timeout=_KEEP_ALIVE_SECONDS,
            resolver=self._resolver,
            use_dns_cache=False,
            socket_factory=self._guard,
            ssl=self._tls or True,
        )


def _header_deadline(seconds: float) -> TraceConfig:
    """Lets the timeout of a request end so many seconds after it has a connection."""

    async def connected(_: ClientSession, request: SimpleNamespace, __: object) -> None:
        deadline: asyncio.Timeout = request.trace_request_ctx
        deadline.reschedule(asyncio.get_running_loop().time() + seconds)

    trace = TraceConfig()
    trace.on_connection_create_end.append(connected)
    trace.on_connection_reuseconn.append(connected)
    return trace


async def _send_once(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """Keeps aiohttp from repeating requests whose connection breaks: that is not for it to say."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise aiohttp.ClientConnectionError("connection lost") from error


async def _receive(response: ClientResponse, deadline: float) -> bytes:
    """The next bytes, none at the end. ``deadline`` is by the loop's clock.

    aiohttp does not tell who reads a body when its framing turns out to be wrong, it only closes
    the connection; so that is looked at now and then.
    """
    loop = asyncio.get_running_loop()
    while True:
        try:
            async with asyncio.timeout_at(min(deadline, loop.time() + _LOOK_AFTER_SECONDS)):
                return await response.content.readany()
        except RuntimeError as error:
            # What it raises to those who begin to read when the connection is gone.
            raise aiohttp.ClientPayloadError("the connection was closed") from error
        except TimeoutError:
            if loop.time() >= deadline:
                raise
            if response.connection is not None and response.connection.closed:
                raise aiohttp.ClientPayloadError("the connection was closed") from None
