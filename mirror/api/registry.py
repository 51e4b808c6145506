"""``/v2/``: the OCI distribution API, as far as pulling goes.

https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md
"""

from aiohttp import web

from mirror.api.blobs import get_blob
from mirror.api.errors import error_response
from mirror.api.headers import API_VERSION
from mirror.api.manifests import get_manifest
from mirror.api.path import Resource, ResourcePath, parse_path
from mirror.api.services import SERVICES
from mirror.oci.errors import ManifestUnknown, NameUnknown, Unsupported

PULLING = ("GET", "HEAD")


async def ping(request: web.Request) -> web.Response:
    """``/v2/``: this is a registry and asks for no login."""
    if request.method not in PULLING:
        return error_response(Unsupported("this path has no such method"), allow=PULLING)
    headers = {
        "Content-Type": "application/json",
        "Content-Length": "2",
        API_VERSION[0]: API_VERSION[1],
        "Server": "mirror",
    }
    return web.Response(body=b"{}" if request.method == "GET" else None, headers=headers)


async def serve(request: web.Request) -> web.StreamResponse:
    path = parse_path(request.match_info["path"])
    if path is None:
        raise NameUnknown("no such path in the registry API")
    if request.method not in PULLING:
        return _unsupported(request, path)
    match path.resource:
        case Resource.MANIFEST:
            return await get_manifest(request, path)
        case Resource.BLOB:
            return await get_blob(request, path)
        case Resource.REFERRERS:
            # Clients then look for the fallback tag, which is pulled like any other.
            raise ManifestUnknown("this mirror does not list referrers")
        case Resource.TAGS:
            raise NameUnknown("this mirror does not list tags")
        case Resource.UPLOAD:
            return _unsupported(request, path)


def _unsupported(request: web.Request, path: ResourcePath) -> web.Response:
    # The name is judged first: a malformed one is its sender's mistake whatever the method.
    request.app[SERVICES].router.route(path.name)
    error = Unsupported("this mirror is for pulling; push to the registry it mirrors")
    response = error_response(error, allow=PULLING)
    if request.can_read_body:
        response.force_close()
    return response
