"""``POST /api/v1/gc``: delete what nothing needs any more, or say what would go."""

from aiohttp import web

from mirror.api import documents
from mirror.api.errors import error_response
from mirror.api.rendering import json_answer
from mirror.api.services import SERVICES
from mirror.api.wishes import MalformedRequest, parse_wish
from mirror.oci.errors import Unsupported
from mirror.registry.collection import Collected, CollectionReport
from mirror.registry.collector import CollectorStatus, PastCollection


async def post_collection(request: web.Request) -> web.Response:
    try:
        wanted = await parse_wish(request, documents.CollectionRequest)
    except MalformedRequest as error:
        response = error_response(Unsupported(str(error)), status=400)
        response.force_close()
        return response
    report = await request.app[SERVICES].collector.collect(dry_run=wanted.dry_run)
    return json_answer(render_collection(report))


def render_collection(report: CollectionReport) -> documents.Collection:
    return documents.Collection(
        dry_run=report.dry_run,
        began_at=report.began_at,
        seconds=report.duration,
        grace_seconds=int(report.grace.total_seconds()),
        freed_bytes=report.freed,
        count=report.count,
        links=report.links,
        reasons=[
            documents.Portion(reason.value, tally.count, tally.size)
            for reason, tally in report.went
        ],
        blobs=[_blob(collected) for collected in report.blobs],
        kept=[
            documents.Portion(stay.value, tally.count, tally.size) for stay, tally in report.kept
        ],
        protected=None
        if report.protected is None
        else documents.Protected(report.protected.first, report.protected.last),
        undeleted=documents.Undeleted(report.undeleted.count, report.undeleted.size),
    )


def render_status(status: CollectorStatus) -> documents.Collector:
    every = status.every
    return documents.Collector(
        every_seconds=None if every is None else int(every.total_seconds()),
        grace_seconds=int(status.grace.total_seconds()),
        running=status.running,
        next_run_at=status.next_at,
        last_run=None if status.last is None else _past(status.last),
    )


def _past(past: PastCollection) -> documents.PastCollection:
    return documents.PastCollection(
        began_at=past.began_at,
        seconds=past.duration,
        count=past.count,
        bytes=past.size,
        failure=past.failure,
    )


def _blob(collected: Collected) -> documents.CollectedBlob:
    return documents.CollectedBlob(
        digest=str(collected.blob.digest),
        bytes=collected.blob.size,
        reason=collected.reason.value,
        idle_since=collected.idle_since,
    )
