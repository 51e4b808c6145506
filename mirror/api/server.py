"""Listening, and stopping without cutting anybody off who can still be served."""

import asyncio
import errno
import logging
import socket
from dataclasses import dataclass

from aiohttp import web

from mirror.api.access_log import AccessLine, AccessSink, access_logger, client_address
from mirror.api.connection import Connection, PlainHeads
from mirror.api.manifests import PREPARED, count_manifest
from mirror.api.prepared import PreparedAnswer
from mirror.api.protocol import RegistryProtocol
from mirror.api.services import SERVICES

log = logging.getLogger(__name__)

SEND_BUFFER = 256 * 1024
"""Bytes the kernel may hold for one client, which doubles it. Left to itself it grows to 4 MiB
for each of those who do not read.
"""

BACKLOG = 1024

LONGEST_LINE = 16 * 1024
"""Bytes of a request line or of one header: bearer tokens of other registries reach 8 KiB."""


class ListenError(Exception):
    """The address cannot be listened on; the message says what to do."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Times in seconds. ``drain`` is how long answers under way may take once stopping."""

    host: str
    port: int
    keepalive: float
    drain: float


class Server:
    """Serves an application on one address."""

    def __init__(
        self, application: web.Application, settings: ServerSettings, sink: AccessSink
    ) -> None:
        self._settings = settings
        self._runner = web.AppRunner(
            application,
            handle_signals=False,
            shutdown_timeout=settings.drain,
        )
        self._sink = sink
        self._services = application[SERVICES]
        self._answers = application[PREPARED]
        self._heads = PlainHeads()
        self._access_log = access_logger(sink, _answered)
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port that is listened on, which the system may have chosen."""
        if self._server is None:
            return self._settings.port
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Raises ListenError."""
        sock = _bind(self._settings.host, self._settings.port)
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._protocol, sock=sock, backlog=BACKLOG)

    async def stop(self) -> None:
        """Accept nobody any more, let answers end, cut off what takes longer than ``drain``."""
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()

    def _protocol(self) -> asyncio.Protocol:
        server = self._runner.server
        if server is None:
            raise ListenError("the server is stopping")
        framework = RegistryProtocol(
            server,
            loop=asyncio.get_running_loop(),
            access_log_class=self._access_log,
            keepalive_timeout=self._settings.keepalive,
            max_line_size=LONGEST_LINE,
            max_field_size=LONGEST_LINE,
            auto_decompress=False,
        )
        return Connection(
            framework, self._answers, self._heads, self._sent, self._settings.keepalive
        )

    def _sent(self, prepared: PreparedAnswer, transport: asyncio.Transport, agent: str) -> None:
        """Count and log what did not pass the handlers."""
        count_manifest(self._services, prepared.answer, sent=prepared.sent > 0)
        line = AccessLine(
            time=self._services.clock.now(),
            client=client_address(transport),
            method=prepared.method,
            path=prepared.path,
            status=200,
            bytes=prepared.sent,
            seconds=0.0,
            agent=agent,
            cache=prepared.cache,
        )
        self._sink(line)


def _answered(request: web.BaseRequest) -> None:
    protocol = request.transport.get_protocol() if request.transport else None
    if isinstance(protocol, Connection):
        protocol.answered()


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Inherited by every connection; it must be set before listening.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise ListenError(_advice(host, port, error)) from error
    return sock


def _advice(host: str, port: int, error: OSError) -> str:
    address = f"{host}:{port}"
    if error.errno == errno.EADDRINUSE:
        return (
            f"{address} is in use by another program; stop it, or choose another port with the "
            "key listen"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{address} is not an address of this machine; change the key listen"
    if error.errno == errno.EACCES:
        return f"{address} may not be listened on by this user; choose a port above 1023"
    return f"{address} cannot be listened on: {error.strerror}"
