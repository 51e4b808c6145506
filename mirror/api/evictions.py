"""``POST /api/v1/evict``: make room now, or say what would go."""

import asyncio

import msgspec
from aiohttp import web

from mirror.api import documents
from mirror.api.errors import error_response
from mirror.api.rendering import json_answer
from mirror.api.services import SERVICES
from mirror.oci.errors import Unsupported
from mirror.registry.eviction import EvictionReport, Victim

LARGEST_BODY = 4096
BODY_PATIENCE = 10.0
"""Seconds that a client may take to send so little."""


class MalformedRequest(Exception):
    """What is wrong with what the client sent."""


async def post_eviction(request: web.Request) -> web.Response:
    try:
        wanted = await _parse_request(request)
    except MalformedRequest as error:
        response = error_response(Unsupported(str(error)), status=400)
        response.force_close()
        return response
    report = await request.app[SERVICES].housekeeping.evict(dry_run=wanted.dry_run)
    return json_answer(render_eviction(report))


def render_eviction(report: EvictionReport) -> documents.Eviction:
    return documents.Eviction(
        dry_run=report.dry_run,
        reason=report.reason,
        needed_bytes=report.needed,
        freed_bytes=report.freed,
        count=report.count,
        victims=[_victim(victim) for victim in report.victims],
        kept=[documents.Kept(reason, count) for reason, count in report.kept],
    )


def _victim(victim: Victim) -> documents.Victim:
    return documents.Victim(
        repository=None if victim.repository is None else str(victim.repository),
        tags=list(victim.tags),
        digest=str(victim.digest),
        bytes=victim.size,
        last_used_at=victim.last_used_at,
    )


async def _parse_request(request: web.Request) -> documents.EvictionRequest:
    """From the body or the query. What is misspelt must not evict anything, so it is refused."""
    body = await _read(request)
    if not body:
        return _parse_query(request)
    if request.query_string:
        raise MalformedRequest("send dry_run in the body or in the query, not in both")
    try:
        return msgspec.json.decode(body, type=documents.EvictionRequest)
    except msgspec.DecodeError:
        raise MalformedRequest('the body must be {"dry_run": true} or {"dry_run": false}') from None


def _parse_query(request: web.Request) -> documents.EvictionRequest:
    if not request.query_string:
        return documents.EvictionRequest()
    match list(request.query.items()):
        case [("dry_run", ("true" | "false") as flag)]:
            return documents.EvictionRequest(dry_run=flag == "true")
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
