"""The one place where an error becomes a response."""

import logging
from collections.abc import Sequence

from aiohttp import HttpVersion10, web
from aiohttp.typedefs import Handler

from mirror.api.headers import API_VERSION
from mirror.api.request import CONCERNED, Concern
from mirror.api.services import SERVICES
from mirror.oci.errors import (
    NameInvalid,
    NameUnknown,
    OCIError,
    SizeInvalid,
    Unavailable,
    Unknown,
    Unsupported,
    render,
)
from mirror.ports.blobs import StorageError
from mirror.ports.metadata import MetadataError
from mirror.ports.upstream import UpstreamError
from mirror.registry.follow import FillFailed
from mirror.registry.statistics import Result

log = logging.getLogger(__name__)

NOBODY = Concern(None, "other")

FIRST_ERROR = 400


def error_response(
    error: OCIError, *more: OCIError, status: int | None = None, allow: Sequence[str] = ()
) -> web.Response:
    """The answer for an error, or for several of a kind."""
    body = render([error, *more])
    response = web.Response(
        status=status or error.status,
        body=body,
        headers={
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "X-Content-Type-Options": "nosniff",
            API_VERSION[0]: API_VERSION[1],
            "Server": "mirror",
        },
    )
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    if allow:
        response.headers["Allow"] = ", ".join(allow)
    return response


@web.middleware
async def render_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every failure with the JSON envelope of the specification.

    https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#error-codes
    """
    response: web.StreamResponse
    try:
        if request.version < HttpVersion10:
            raise NameInvalid("this server speaks HTTP/1.1 and HTTP/1.0")
        response = await handler(request)
    except OCIError as error:
        _tell(request, error)
        response = error_response(error)
    except web.HTTPException as error:
        response = of_framework(error)
    except (StorageError, MetadataError) as error:
        log.warning("%s %s failed: %s", request.method, request.path[:255], error)
        response = error_response(Unavailable("the mirror cannot read its data", retry_after=10))
    except ConnectionError:
        raise
    except Exception:
        log.exception("%s %s failed", request.method, request.path[:255])
        response = error_response(Unknown("the mirror failed; its log says why"))
    if response.status < FIRST_ERROR:
        return response
    if request.path.startswith("/v2/"):
        concern = request.get(CONCERNED, NOBODY)
        request.app[SERVICES].statistics.answered(concern.upstream, concern.kind, Result.ERROR)
    # A body that is still being sent is not read: the next request would begin in its middle.
    if request.can_read_body:
        response.force_close()
    return response


def _tell(request: web.Request, error: OCIError) -> None:
    """Operators shall see why their clients fall back; what is simply not there is no trouble."""
    if isinstance(error.__cause__, UpstreamError | FillFailed):
        log.warning("refused %s %s: %s", request.method, request.path[:255], error.message)


def of_framework(error: web.HTTPException) -> web.Response:
    """The answer for what the framework refuses by itself."""
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = sorted(error.allowed_methods)
        return error_response(Unsupported("this path has no such method"), allow=allowed)
    if isinstance(error, web.HTTPNotFound):
        return error_response(NameUnknown("no such path"))
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return error_response(SizeInvalid("the body is too long"), status=error.status)
    if isinstance(error, web.HTTPExpectationFailed):
        text = "no expectation can be met but 100-continue"
        return error_response(Unsupported(text), status=error.status)
    return error_response(Unknown(error.reason), status=error.status)
