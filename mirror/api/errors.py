"""The one place where an error becomes a response."""

import logging
from collections.abc import Sequence

from aiohttp import web
from aiohttp.typedefs import Handler

from mirror.api.headers import API_VERSION
from mirror.api.services import SERVICES
from mirror.oci.errors import NameUnknown, OCIError, Unavailable, Unknown, Unsupported, render
from mirror.ports.blobs import StorageError
from mirror.ports.metadata import MetadataError
from mirror.registry.statistics import Result

log = logging.getLogger(__name__)


def error_response(
    error: OCIError, *, status: int | None = None, allow: Sequence[str] = ()
) -> web.Response:
    """The answer for an error. A body that the client still sends is not read: the connection
    closes, else the next request on it would begin in the middle of this one.
    """
    body = render([error])
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
    try:
        return await handler(request)
    except OCIError as error:
        response = error_response(error)
    except web.HTTPException as error:
        response = _of_framework(error)
    except (StorageError, MetadataError) as error:
        log.warning("%s %s failed: %s", request.method, request.path[:255], error)
        response = error_response(Unavailable("the mirror cannot read its data", retry_after=10))
    except ConnectionError:
        raise
    except Exception:
        log.exception("%s %s failed", request.method, request.path[:255])
        response = error_response(Unknown("the mirror failed; its log says why"))
    if request.path.startswith("/v2/"):
        request.app[SERVICES].statistics.answered(None, "other", Result.ERROR)
    if request.can_read_body:
        response.force_close()
    return response


def _of_framework(error: web.HTTPException) -> web.Response:
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = sorted(error.allowed_methods)
        return error_response(Unsupported("this path has no such method"), allow=allowed)
    if error.status < 400:  # noqa: PLR2004 - the boundary that HTTP itself draws
        raise error
    return error_response(NameUnknown("no such path"), status=error.status)
