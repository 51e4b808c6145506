"""The connection of a client, and what it hears when it does not speak HTTP."""

import logging

from aiohttp import web

from mirror.api.errors import error_response, of_framework
from mirror.oci.errors import NameInvalid, Unknown

log = logging.getLogger(__name__)

FIRST_SERVER_ERROR = 500


class RegistryProtocol(web.RequestHandler):
    """The framework's protocol, which answers malformed requests in plain text, made to answer
    like a registry. Overriding is the only way it offers.
    """

    __slots__ = ()

    @property
    def received(self) -> int:
        """How many requests have arrived on this connection, the malformed one included."""
        return self._request_count

    @property
    def awaits_body(self) -> bool:
        """Whether the end of a request's body is still to come."""
        if self._messages:
            return not self._messages[-1][1].is_eof()
        request = self._current_request
        return request is not None and not request.content.is_eof()

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
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun, another cannot follow")
        if status < FIRST_SERVER_ERROR:
            log.info("refused a malformed request: %s", type(exc).__name__)
            response = error_response(NameInvalid("malformed HTTP request"), status=status)
        else:
            log.error("a request failed", exc_info=exc)
            response = error_response(Unknown("the mirror failed; its log says why"))
        response.force_close()
        return response
