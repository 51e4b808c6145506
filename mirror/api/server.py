"""Serving an application on one address, and stopping without cutting off who can be served."""

import asyncio
from dataclasses import dataclass

from aiohttp import web

from mirror.api.access_log import AccessLine, AccessSink, access_logger, client_address
from mirror.api.announcing import announce_manifest_pull, asker_on
from mirror.api.connection import Connection, Patience, PlainHeads, ShortWay, host_of
from mirror.api.listener import Listener, ListenError
from mirror.api.manifests import PREPARED, count_manifest
from mirror.api.prepared import PreparedAnswer
from mirror.api.protocol import RegistryProtocol
from mirror.api.services import SERVICES
from mirror.api.tls_probes import TlsProbes

__all__ = ["ListenError", "Server", "ServerSettings"]

LONGEST_LINE = 16 * 1024
"""Bytes of a request line or of one header: bearer tokens of other registries reach 8 KiB."""


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
        # The framework waits this long for answers to end, and once more before it cuts them off.
        self._runner = web.AppRunner(
            application, handle_signals=False, shutdown_timeout=settings.drain / 2
        )
        self._sink = sink
        self._services = application[SERVICES]
        self._tls_probes = TlsProbes(self._services.clock)
        self._access_log = access_logger(sink, self._services.clock, _answered)
        self._short_way = ShortWay(application[PREPARED], PlainHeads(), self._sent)
        self._patience = Patience(settings.keepalive, self._services.write_timeout.total_seconds())
        self._listener = Listener(settings.host, settings.port, self._protocol)

    @property
    def port(self) -> int:
        """The port that is listened on, which the system may have chosen."""
        return self._listener.port

    async def start(self) -> None:
        """Raises ListenError."""
        await self._runner.setup()
        self._listener.start()

    async def stop(self) -> None:
        """Accept nobody any more, let answers end, cut off what takes longer than ``drain``."""
        await self._listener.stop()
        await self._runner.cleanup()

    def _protocol(self) -> asyncio.Protocol:
        server = self._runner.server
        if server is None:
            raise ListenError("the server is stopping")
        framework = RegistryProtocol(
            server,
            self._tls_probes,
            loop=asyncio.get_running_loop(),
            access_log_class=self._access_log,
            keepalive_timeout=self._settings.keepalive,
            max_line_size=LONGEST_LINE,
            max_field_size=LONGEST_LINE,
            auto_decompress=False,
        )
        return Connection(framework, self._short_way, self._patience)

    def _sent(
        self, prepared: PreparedAnswer, transport: asyncio.Transport, agent: str, head: bytes
    ) -> None:
        """Count and log what did not pass the handlers."""
        count_manifest(self._services, prepared.answer, sent=prepared.sent > 0)
        if self._services.events is not None:
            announce_manifest_pull(
                self._services,
                prepared.answer,
                prepared.tag,
                lambda: asker_on(transport, host_of(head), prepared.method, agent),
            )
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


def _answered(request: web.BaseRequest, response: web.StreamResponse) -> None:
    protocol = request.transport.get_protocol() if request.transport else None
    if isinstance(protocol, Connection):
        protocol.answered(goes_on=bool(response.keep_alive))
