"""What answers that list something have in common: the headers, and that they are counted."""

from aiohttp import web

from mirror.api.headers import API_VERSION, cache_status, warning
from mirror.api.request import namespace_header
from mirror.api.services import SERVICES
from mirror.ports.repository import Repository
from mirror.registry.answer import Handling


def list_response(
    request: web.Request,
    repository: Repository | None,
    handling: Handling,
    body: bytes,
    media_type: str = "application/json",
) -> web.Response:
    """The same for ``GET`` and ``HEAD``, save for the body. No repository: about all of them."""
    upstream = None if repository is None else repository.upstream
    request.app[SERVICES].statistics.answered(upstream, "other", handling.result)
    headers = {
        "Content-Type": media_type,
        "Content-Length": str(len(body)),
        "Cache-Control": "no-cache, no-transform",
        "X-Content-Type-Options": "nosniff",
        API_VERSION[0]: API_VERSION[1],
        "Server": "mirror",
        "Cache-Status": cache_status(handling),
    } | namespace_header(request)
    text = warning(handling)
    if text is not None:
        headers["Warning"] = text
    return web.Response(body=body if request.method == "GET" else None, headers=headers)
