"""``/v2/``: the OCI distribution API. What each path does is told in the modules named after it.

https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md
"""

import logging
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from mirror.api.blobs import get_blob
from mirror.api.catalog import get_catalog
from mirror.api.errors import error_response
from mirror.api.headers import API_VERSION
from mirror.api.hosting import delete_blob, delete_manifest, put_manifest
from mirror.api.manifests import get_manifest
from mirror.api.path import Resource, ResourcePath, parse_path
from mirror.api.referrers import get_referrers
from mirror.api.request import route_of
from mirror.api.services import SERVICES
from mirror.api.tags import get_tags
from mirror.api.uploads import serve_upload
from mirror.oci.errors import NameUnknown, Unavailable, Unsupported
from mirror.registry.routing import Route

log = logging.getLogger(__name__)

Handler = Callable[[web.Request, ResourcePath], Awaitable[web.StreamResponse]]

PULLING: tuple[str, ...] = ("GET", "HEAD")

CHANGES: Mapping[tuple[str, Resource], Handler] = {
    ("PUT", Resource.MANIFEST): put_manifest,
    ("DELETE", Resource.MANIFEST): delete_manifest,
    ("DELETE", Resource.BLOB): delete_blob,
}

LOOP_DETECTED = 508
LOOP = "an upstream of this mirror leads back to itself; correct its url in mirror.yaml"


def registry_routes() -> list[web.RouteDef]:
    """All of ``/v2/``, with and without the slash."""
    handlers = (("/v2", ping), ("/v2/", ping), ("/v2/{path:.+}", serve))
    return [web.route("*", path, handler, expect_handler=_expect) for path, handler in handlers]


async def ping(request: web.Request) -> web.Response:
    """``/v2/``: this is a registry and asks for no login."""
    if request.method not in PULLING:
        raise web.HTTPMethodNotAllowed(request.method, PULLING)
    headers = {
        "Content-Type": "application/json",
        "Content-Length": "2",
        API_VERSION[0]: API_VERSION[1],
        "Server": "mirror",
    }
    return web.Response(body=b"{}" if request.method == "GET" else None, headers=headers)


async def serve(request: web.Request) -> web.StreamResponse:
    if _is_ours(request):
        log.warning("refused a request of our own: %s", LOOP)
        return error_response(Unavailable(LOOP), status=LOOP_DETECTED)
    path = parse_path(request.match_info["path"])
    if path is None:
        raise NameUnknown("no such path in the registry API")
    if path.resource is Resource.UPLOAD:
        return await serve_upload(request, path)
    if request.method in PULLING:
        return await _pull(request, path)
    return await _change(request, path)


async def _pull(request: web.Request, path: ResourcePath) -> web.StreamResponse:
    match path.resource:
        case Resource.MANIFEST:
            return await get_manifest(request, path)
        case Resource.BLOB:
            return await get_blob(request, path)
        case Resource.TAGS:
            return await get_tags(request, path)
        case Resource.REFERRERS:
            return await get_referrers(request, path)
        case Resource.CATALOG:
            return await get_catalog(request)
    raise NameUnknown("no such path in the registry API")


async def _change(request: web.Request, path: ResourcePath) -> web.StreamResponse:
    handler = CHANGES.get((request.method, path.resource))
    if handler is None:
        return _unsupported(request, path)
    try:
        return await handler(request, path)
    except Unsupported as refusal:
        return error_response(refusal, allow=PULLING)


async def _expect(_request: web.Request) -> None:
    """Nobody here reads a body, so nobody is told to go on and send it."""


def _is_ours(request: web.Request) -> bool:
    """Whether we sent it ourselves: one of our upstreams leads back here.

    A 404 would be taken for the truth about the image, so this is not one.
    """
    instance = request.app[SERVICES].instance
    return instance is not None and any(
        instance in via for via in request.headers.getall("Via", ())
    )


def _unsupported(request: web.Request, path: ResourcePath) -> web.Response:
    allowed = PULLING
    # The name is judged first: a malformed one is its sender's mistake whatever the method.
    if path.resource is not Resource.CATALOG and _is_hosted(route_of(request, path.name)):
        changes = (method for method, resource in CHANGES if resource is path.resource)
        allowed = (*PULLING, *changes)
    return error_response(Unsupported("this path has no such method"), allow=allowed)


def _is_hosted(route: Route) -> bool:
    return route.repository.upstream is None
