"""Bodies of any length on their way in: asked for when they are wanted, cut off when they stall."""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from mirror.api.body import TOO_SLOW, invite_body
from mirror.api.connection import LEAST_PROGRESS
from mirror.oci.byte_range import parse_upload_range
from mirror.oci.errors import RangeInvalid, SizeInvalid, quoted
from mirror.registry.uploads import Body

LEFT = "the client left before the end of the body"
"""Which it never hears; but the access log does."""


class BodyStalled(SizeInvalid):
    """Next to nothing came for too long."""

    status = TOO_SLOW


def body_of(request: web.Request, patience: float) -> Body:
    """What is sent, not yet read. A client that sends less than LEAST_PROGRESS in ``patience``
    seconds has stalled. Raises RangeInvalid for a ``Content-Range`` that is none.
    """
    ranges = request.headers.getall("Content-Range", ())
    place = parse_upload_range(ranges[0]) if len(ranges) == 1 else None
    if ranges and place is None:
        raise RangeInvalid(f"{quoted(', '.join(ranges))} is no range, which looks like 0-1023")
    length = request.content_length if request.body_exists else 0
    return Body(_chunks(request, patience), length, place)


async def _chunks(request: web.Request, patience: float) -> AsyncIterator[bytes]:
    """As they come. Raises BodyStalled, and SizeInvalid when they are no body, or half of one."""
    await invite_body(request)
    clock = asyncio.get_running_loop().time
    waited, received = 0.0, 0
    while True:
        begun = clock()
        chunk = await _next(request, patience - waited)
        if not chunk:
            return
        # Only what the client makes us wait counts, not what the disk does.
        waited += clock() - begun
        received += len(chunk)
        if received >= LEAST_PROGRESS:
            waited, received = 0.0, 0
        yield chunk


async def _next(request: web.Request, seconds: float) -> bytes:
    if request.transport is None:
        raise SizeInvalid(LEFT)
    try:
        # What is there already needs no alarm clock.
        chunk = request.content.read_nowait()
        if chunk:
            return chunk
        async with asyncio.timeout(seconds):
            return await request.content.readany()
    except web.RequestPayloadError as error:
        raise SizeInvalid("the body is malformed") from error
    except TimeoutError as error:
        raise BodyStalled(f"next to nothing came for {seconds:.0f} s") from error
    except OSError as error:
        raise SizeInvalid(LEFT) from error
