"""``GET`` and ``HEAD /v2/<name>/tags/list``."""

from urllib.parse import quote

import msgspec
from aiohttp import web

from mirror.api.lists import list_response
from mirror.api.path import ResourcePath
from mirror.api.request import namespaces, route_of
from mirror.api.services import SERVICES
from mirror.oci.page import next_link, parse_page

LARGEST_PAGE = 10_000
"""Tags; who asks for more gets so many and a link. Who names no number gets all."""


class TagList(msgspec.Struct, frozen=True):
    """``name`` as the client knows the repository."""

    name: str
    tags: list[str]


async def get_tags(request: web.Request, path: ResourcePath) -> web.Response:
    services = request.app[SERVICES]
    route = route_of(request, path.name)
    page = parse_page(request.query.get("n"), request.query.get("last"), LARGEST_PAGE)
    answer = await services.tags.list(route, page)
    tags = [tag.value for tag in answer.tags]
    body = msgspec.json.encode(TagList(path.name, tags))
    response = list_response(request, answer.repository, answer.handling, body)
    if answer.goes_on:
        target = f"/v2/{quote(path.name, safe='/:')}/tags/list"
        more = {"ns": next(iter(namespaces(request)), None)}
        response.headers["Link"] = next_link(target, len(tags), tags[-1], more)
    return response
