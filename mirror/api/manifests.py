"""``GET`` and ``HEAD /v2/<name>/manifests/<reference>``."""

from dataclasses import replace

from aiohttp import web

from mirror.api.access_log import logged_path
from mirror.api.announcing import announce_manifest_pull, asker_of
from mirror.api.headers import (
    API_VERSION,
    FOR_EVER,
    cache_status,
    entity_tag,
    matches_entity_tag,
    warning,
    without_content,
)
from mirror.api.path import ResourcePath
from mirror.api.prepared import PreparedAnswers, Question
from mirror.api.request import namespace_header, route_of
from mirror.api.services import SERVICES, Services
from mirror.oci.digest import Digest
from mirror.oci.media_type import bare
from mirror.oci.reference import Reference, Tag, parse_reference
from mirror.registry.answer import ManifestAnswer
from mirror.registry.routing import Route

PREPARED: web.AppKey[PreparedAnswers] = web.AppKey("prepared", PreparedAnswers)


async def get_manifest(request: web.Request, path: ResourcePath) -> web.StreamResponse:
    services = request.app[SERVICES]
    changes = request.app[PREPARED].changes
    route = route_of(request, path.name, "manifest")
    reference = parse_reference(path.item)
    if _looks_whether_to_push(request, route, reference):
        route = replace(route, fallback=None, kept_out=None)
    answer = services.manifests.peek(route, reference)
    if answer is None:
        answer = await _answer(services, route, reference, content=request.method == "GET")
    headers = manifest_headers(answer, immutable=isinstance(reference, Digest))
    headers.update(namespace_header(request))
    if matches_entity_tag(request.headers.getall("If-None-Match", ()), answer.descriptor.digest):
        count_manifest(services, answer, sent=False)
        return web.Response(status=304, headers=without_content(headers))
    count_manifest(services, answer, sent=request.method == "GET")
    tag = reference if isinstance(reference, Tag) else None
    announce_manifest_pull(services, answer, tag, lambda: asker_of(request))
    if request.method == "GET" or route.fallback is None:
        question = Question(request.method, request.raw_path, logged_path(request), tag)
        request.app[PREPARED].keep(question, headers, answer, changes)
    body = answer.content if request.method == "GET" else None
    return web.Response(body=body, headers=headers)


def _looks_whether_to_push(request: web.Request, route: Route, reference: Reference) -> bool:
    """Whether a client would take a yes for a reason to push nothing.

    A name that is not known here may stand for one of the default upstream: what is there is not
    here. Who pulls names every type it can take; containerd, before it pushes, the one it has.
    """
    if request.method != "HEAD" or (route.fallback is None and route.kept_out is None):
        return False
    if _pushes_after(request.headers.get("User-Agent", ""), reference):
        return True
    accepted = ",".join(request.headers.getall("Accept", ())).split(",")
    types = {bare(text) for text in accepted}
    return len(types) == len(("one", "*/*")) and "*/*" in types


def _pushes_after(agent: str, reference: Reference) -> bool:
    """Clients that name every type then, too.

    What crane is made of, and kaniko and ko, asks by GET when a HEAD found nothing and it wants to
    pull. oras looks for digests before it pushes, and resolves tags to pull.
    """
    if "go-containerregistry" in agent:
        return True
    return agent.startswith("oras") and isinstance(reference, Digest)


async def _answer(
    services: Services, route: Route, reference: Reference, *, content: bool
) -> ManifestAnswer:
    if isinstance(reference, Digest):
        return await services.manifests.get(route, reference)
    return await services.manifests.resolve(route, reference, content=content)


def manifest_headers(answer: ManifestAnswer, *, immutable: bool) -> dict[str, str]:
    """The same for ``GET`` and ``HEAD``: clients decide by what a ``HEAD`` says."""
    headers = {
        "Content-Type": answer.descriptor.media_type,
        "Content-Length": str(answer.descriptor.size),
        "Docker-Content-Digest": str(answer.descriptor.digest),
        "ETag": entity_tag(answer.descriptor.digest),
        "Cache-Control": FOR_EVER if immutable else "no-cache, no-transform",
        "X-Content-Type-Options": "nosniff",
        API_VERSION[0]: API_VERSION[1],
        "Server": "mirror",
        "Cache-Status": cache_status(answer.handling),
    }
    text = warning(answer.handling)
    if text is not None:
        headers["Warning"] = text
    return headers


def count_manifest(services: Services, answer: ManifestAnswer, *, sent: bool) -> None:
    """``sent``: the content went out too."""
    upstream, result = answer.repository.upstream, answer.handling.result
    services.statistics.answered(upstream, "manifest", result)
    if sent:
        services.statistics.served(upstream, "manifest", result, answer.descriptor.size)
