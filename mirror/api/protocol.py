"""The connection of a client, and what it hears when it does not speak HTTP."""

import asyncio
import logging
from typing import Any

from aiohttp import StreamReader, web
from aiohttp.http_parser import RawRequestMessage

from mirror.api.access_log import client_address
from mirror.api.errors import error_response, of_framework
from mirror.api.tls_probes import TlsProbes, is_tls
from mirror.oci.errors import NameInvalid, Unknown

log = logging.getLogger(__name__)

FIRST_SERVER_ERROR = 500


class MalformedBody(web.RequestPayloadError, TimeoutError):
    """A body that cannot be read to its end.

    A TimeoutError too, because that is what the framework expects where it discards bodies.
    """


class RegistryProtocol(web.RequestHandler):
    """The framework's protocol, which answers malformed requests in plain text, made to answer
    like a registry. Overriding is the only way it offers.
    """

    __slots__ = ("_begins", "_is_tls", "_last_body", "_last_length", "_tls_probes")

    def __init__(self, manager: web.Server, tls_probes: TlsProbes, **options: Any) -> None:
        super().__init__(manager, **options)
        self._tls_probes = tls_probes
        self._begins = True
        self._is_tls = False

    @property
    def received(self) -> int:
        """How many requests have arrived on this connection, the malformed one included."""
        return self._request_count

    @property
    def awaits_body(self) -> bool:
        """Whether the end of a request's body is still to come."""
        return self._last_body is not None and not self._last_body.is_eof()

    @property
    def body_left(self) -> int | None:
        """Bytes of a body that are still to come; ``None`` when only its end will tell."""
        if self._last_body is None or self._last_body.is_eof():
            return 0
        if self._last_length is None:
            return None
        return max(self._last_length - self._last_body.total_bytes, 0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._last_body: StreamReader | None = None
        self._last_length: int | None = None
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._begins:
            self._begins, self._is_tls = False, is_tls(data)
        super().data_received(data)
        if not self._messages:
            return
        message, body = self._messages[-1]
        if body is self._last_body:
            return
        if self._last_body is not None and self.awaits_body:
            # Malformed, then. The framework tells nobody who still reads it.
            self._last_body.set_exception(MalformedBody("the body is malformed"))
        self._last_body = body
        self._last_length = _length_of(message)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """What the framework refuses before any handler is asked has to be in our form too."""
        if isinstance(resp, web.HTTPException):
            resp = of_framework(resp)
        return await super().finish_response(request, resp, start_time)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = FIRST_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - the framework's signature
    ) -> web.StreamResponse:
        """The answer to what could not be parsed, or to a failure nothing else has answered."""
        if isinstance(exc, ConnectionError):
            raise exc  # nobody is left to be told
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun, another cannot follow")
        if status < FIRST_SERVER_ERROR:
            self._tell_of_malformed(exc)
            response = error_response(NameInvalid("malformed HTTP request"), status=status)
        else:
            log.error("a request failed", exc_info=exc)
            response = error_response(Unknown("the mirror failed; its log says why"))
        response.force_close()
        return response

    def log_access(
        self, request: web.BaseRequest, response: web.StreamResponse, time: float | None
    ) -> None:
        """A line for each request, which a TLS handshake is not."""
        if not self._is_tls:
            super().log_access(request, response, time)

    def _tell_of_malformed(self, error: BaseException | None) -> None:
        if self._is_tls:
            self._tls_probes.met(client_address(self.transport))
        else:
            log.info("refused a malformed request: %s", type(error).__name__)


def _length_of(message: object) -> int | None:
    """Of its body, where it says so; the framework has found it to be a number."""
    if not isinstance(message, RawRequestMessage):
        return None
    length = message.headers.get("Content-Length")
    return None if length is None else int(length)
