"""``GET`` and ``HEAD /v2/<name>/referrers/<digest>``."""

from aiohttp import web

from mirror.api.lists import list_response
from mirror.api.path import ResourcePath
from mirror.api.request import route_of
from mirror.api.services import SERVICES
from mirror.oci.digest import parse_digest
from mirror.oci.media_type import OCI_INDEX
from mirror.oci.referrers import render_referrers


async def get_referrers(request: web.Request, path: ResourcePath) -> web.Response:
    services = request.app[SERVICES]
    route = route_of(request, path.name)
    digest = parse_digest(path.item)
    artifact_type = request.query.get("artifactType") or None
    answer = await services.referrers.list(route, digest, artifact_type)
    body = render_referrers(answer.referrers)
    response = list_response(request, answer.repository, answer.handling, body, OCI_INDEX)
    if artifact_type is not None:
        response.headers["OCI-Filters-Applied"] = "artifactType"
    return response
