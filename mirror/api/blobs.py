"""``GET`` and ``HEAD /v2/<name>/blobs/<digest>``."""

from aiohttp import web

from mirror.api.access_log import SENT
from mirror.api.announcing import announce_blob_pull
from mirror.api.errors import error_response
from mirror.api.headers import (
    API_VERSION,
    FOR_EVER,
    cache_status,
    entity_tag,
    matches_entity_tag,
    without_content,
)
from mirror.api.path import ResourcePath
from mirror.api.request import namespace_header, route_of
from mirror.api.sending import Outcome, send
from mirror.api.services import SERVICES, Services
from mirror.oci.byte_range import (
    ByteRange,
    Unsatisfiable,
    content_range,
    resolve_range,
    unsatisfied_range,
)
from mirror.oci.digest import parse_digest
from mirror.oci.errors import RangeInvalid
from mirror.registry.answer import BlobAnswer
from mirror.registry.follow import FillFailed
from mirror.registry.refusal import refuse


async def get_blob(request: web.Request, path: ResourcePath) -> web.StreamResponse:
    services = request.app[SERVICES]
    route = route_of(request, path.name, "blob")
    digest = parse_digest(path.item)
    has_it = matches_entity_tag(request.headers.getall("If-None-Match", ()), digest)
    if request.method == "HEAD" or has_it:
        ask = services.blobs.size if has_it and request.method == "GET" else services.blobs.head
        answer = await ask(route, digest)
        _count(services, answer)
        headers = _headers(request, answer, answer.size)
        if has_it:
            return web.Response(status=304, headers=without_content(headers))
        announce_blob_pull(request, answer)
        return web.Response(headers=headers)
    answer = await services.blobs.get(route, digest)
    try:
        with services.in_use.hold(digest):
            return await _send(request, answer)
    except FillFailed as failed:
        raise refuse("blob", route.approach, failed.error) from failed
    finally:
        if answer.blob is not None:
            answer.blob.close()


async def _send(request: web.Request, answer: BlobAnswer) -> web.StreamResponse:
    part = _part(request, answer)
    if isinstance(part, Unsatisfiable):
        refusal = error_response(RangeInvalid(f"the blob has {answer.size} bytes"))
        refusal.headers["Content-Range"] = unsatisfied_range(answer.size)
        return refusal
    whole = part or ByteRange(0, answer.size)
    headers = _headers(request, answer, whole.length)
    if part is not None:
        headers["Content-Range"] = content_range(part, answer.size)
    response = web.StreamResponse(status=200 if part is None else 206, headers=headers)
    await _send_content(request, response, answer, whole)
    return response


async def _send_content(
    request: web.Request, response: web.StreamResponse, answer: BlobAnswer, part: ByteRange
) -> None:
    """Raises FillFailed and StorageError as long as nothing was sent."""
    services, outcome = request.app[SERVICES], Outcome()
    try:
        if answer.blob is not None:
            pieces = answer.blob.pieces(part.start, part.stop)
            await send(request, response, pieces, services.write_timeout, outcome)
    finally:
        if response.prepared:
            _count(services, answer)
            if outcome.sent == part.length:
                announce_blob_pull(request, answer)
            request[SENT] = outcome.sent
            services.statistics.served(
                answer.repository.upstream, "blob", answer.handling.result, outcome.sent
            )


def _part(request: web.Request, answer: BlobAnswer) -> ByteRange | Unsatisfiable | None:
    condition = request.headers.get("If-Range")
    if condition is not None and condition != entity_tag(answer.digest):
        return None
    ranges = request.headers.getall("Range", ())
    return resolve_range(ranges[0], answer.size) if len(ranges) == 1 else None


def _headers(request: web.Request, answer: BlobAnswer, length: int) -> dict[str, str]:
    return {
        "Content-Type": "application/octet-stream",
        "Content-Length": str(length),
        "Docker-Content-Digest": str(answer.digest),
        "ETag": entity_tag(answer.digest),
        "Accept-Ranges": "bytes",
        "Cache-Control": FOR_EVER,
        "X-Content-Type-Options": "nosniff",
        API_VERSION[0]: API_VERSION[1],
        "Server": "mirror",
        "Cache-Status": cache_status(answer.handling),
    } | namespace_header(request)


def _count(services: Services, answer: BlobAnswer) -> None:
    services.statistics.answered(answer.repository.upstream, "blob", answer.handling.result)
