"""What handlers read from a request."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from aiohttp import web

from mirror.api.services import SERVICES
from mirror.registry.routing import Approach, Route
from mirror.registry.statistics import Kind


@dataclass(frozen=True, slots=True)
class Concern:
    """Whom and what a request is about, for counting how it ended."""

    upstream: str | None
    kind: Kind


CONCERNED: web.RequestKey[Concern] = web.RequestKey("concerned", Concern)

MIRROR = "mirror-"
"""How servers like this one begin their name in a ``Via`` header."""


def route_of(request: web.Request, name: str, kind: Kind = "other") -> Route:
    """What the name in the path means. Raises what routing raises.

    Another mirror is told the truth: it has no origin to fall back on but us, and would take a
    404 for news about the image.
    """
    route = request.app[SERVICES].router.route(name, namespaces(request))
    pulled = route.fallback or route.repository
    request[CONCERNED] = Concern(pulled.upstream, kind)
    if any(MIRROR in via for via in request.headers.getall("Via", ())):
        return replace(route, approach=Approach.DIRECT)
    return route


def namespaces(request: web.Request) -> Sequence[str]:
    """Every ``ns`` parameter: the registry that containerd says it means."""
    return request.query.getall("ns", ()) if request.query_string else ()


def namespace_header(request: web.Request) -> dict[str, str]:
    """``OCI-Namespace`` echoes the ``ns`` parameter, which routing has found to be one of ours."""
    names = namespaces(request)
    return {"OCI-Namespace": names[0].lower()} if names else {}
