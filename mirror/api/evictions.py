"""``POST /api/v1/evict``: make room now, or say what would go."""

from aiohttp import web

from mirror.api import documents
from mirror.api.errors import error_response
from mirror.api.rendering import json_answer
from mirror.api.services import SERVICES
from mirror.api.wishes import MalformedRequest, parse_wish
from mirror.oci.errors import Unsupported
from mirror.registry.eviction import EvictionReport, Victim


async def post_eviction(request: web.Request) -> web.Response:
    try:
        wanted = await parse_wish(request, documents.EvictionRequest)
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
