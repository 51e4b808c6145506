"""What ``POST`` requests of the admin API wish for: a small body, or the same in the query."""

import asyncio
from typing import TypeVar

import msgspec
from aiohttp import web

from mirror.api import documents

LARGEST_BODY = 4096
BODY_PATIENCE = 10.0
"""Seconds that a client may take to send so little."""

W = TypeVar("W", documents.EvictionRequest, documents.CollectionRequest)


class MalformedRequest(Exception):
    """What is wrong with what the client sent."""


async def parse_wish(request: web.Request, wish: type[W]) -> W:
    """From the body or the query. What is misspelt must not delete anything, so it is refused.

    Raises MalformedRequest.
    """
    body = await _read(request)
    if not body:
        return wish(dry_run=_parse_query(request))
    if request.query_string:
        raise MalformedRequest("send dry_run in the body or in the query, not in both")
    try:
        return msgspec.json.decode(body, type=wish)
    except msgspec.DecodeError:
        raise MalformedRequest('the body must be {"dry_run": true} or {"dry_run": false}') from None


def _parse_query(request: web.Request) -> bool:
    if not request.query_string:
        return False
    match list(request.query.items()):
        case [("dry_run", ("true" | "false") as flag)]:
            return flag == "true"
    raise MalformedRequest("the query can only be dry_run=true or dry_run=false")


async def _read(request: web.Request) -> bytes:
    if (request.content_length or 0) > LARGEST_BODY:
        raise MalformedRequest(f"the body is longer than {LARGEST_BODY} bytes")
    body = b""
    try:
        async with asyncio.timeout(BODY_PATIENCE):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > LARGEST_BODY:
                    raise MalformedRequest(f"the body is longer than {LARGEST_BODY} bytes")
    except TimeoutError:
        raise MalformedRequest("the body did not arrive in time") from None
    return body
