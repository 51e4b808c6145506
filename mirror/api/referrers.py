"""``GET`` and ``HEAD /v2/<name>/referrers/<digest>``."""

from urllib.parse import quote

from aiohttp import web

from mirror.api.lists import list_response
from mirror.api.path import ResourcePath
from mirror.api.request import namespaces, route_of
from mirror.api.services import SERVICES
from mirror.oci.digest import parse_digest
from mirror.oci.media_type import OCI_INDEX
from mirror.oci.page import next_link, parse_page
from mirror.oci.referrers import render_referrers
from mirror.registry.referrers_page import MOST


async def get_referrers(request: web.Request, path: ResourcePath) -> web.Response:
    services = request.app[SERVICES]
    route = route_of(request, path.name)
    digest = parse_digest(path.item)
    artifact_type = request.query.get("artifactType") or None
    page = parse_page(request.query.get("n"), request.query.get("last"), MOST)
    answer = await services.referrers.list(route, digest, artifact_type, page)
    body = render_referrers(answer.referrers)
    response = list_response(request, answer.repository, answer.handling, body, OCI_INDEX)
    if artifact_type is not None:
        response.headers["OCI-Filters-Applied"] = "artifactType"
    if answer.goes_on_after is not None:
        target = f"/v2/{quote(path.name, safe='/:')}/referrers/{digest}"
        more = {"artifactType": artifact_type, "ns": next(iter(namespaces(request)), None)}
        limit = MOST if page.limit is None else page.limit
        response.headers["Link"] = next_link(target, limit, str(answer.goes_on_after), more)
    return response
