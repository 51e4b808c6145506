"""Small bodies of requests, read whole within bounds."""

import asyncio
from datetime import timedelta

from aiohttp import HttpVersion11, web

from mirror.api.errors import error_response
from mirror.oci.errors import ManifestInvalid, SizeInvalid

TOO_LARGE = 413
TOO_SLOW = 408


async def invite_body(request: web.Request) -> None:
    """Tell a client that waits for it (``Expect: 100-continue``) to send the body.

    To be called once nothing but the body can make the request fail.
    https://www.rfc-editor.org/rfc/rfc9110#name-expect
    """
    expects = request.headers.get("Expect", "").lower() == "100-continue"
    if expects and request.version >= HttpVersion11 and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


async def read_body(
    request: web.Request, limit: int, patience: timedelta
) -> bytes | web.StreamResponse:
    """The body; or the refusal, when it is longer than ``limit`` bytes or takes longer than
    ``patience``. It is not read beyond either. Raises ManifestInvalid when it is encoded.
    """
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise ManifestInvalid("send the manifest as it is, without a Content-Encoding")
    if (request.content_length or 0) > limit:
        return _too_large(limit)
    await invite_body(request)
    body = bytearray()
    try:
        async with asyncio.timeout(patience.total_seconds()):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > limit:
                    return _too_large(limit)
    except web.RequestPayloadError as error:
        raise SizeInvalid("the body is malformed") from error
    except TimeoutError:
        slow = SizeInvalid(f"only {len(body)} bytes came within {patience.total_seconds():g} s")
        return error_response(slow, status=TOO_SLOW)
    except OSError as error:
        raise ConnectionResetError("the client has left") from error
    return bytes(body)


def _too_large(limit: int) -> web.StreamResponse:
    return error_response(SizeInvalid(f"more than {limit} bytes are not taken"), status=TOO_LARGE)
