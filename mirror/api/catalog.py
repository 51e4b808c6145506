"""``GET`` and ``HEAD /v2/_catalog``: not in the specification, and asked for by everybody.

https://distribution.github.io/distribution/spec/api/#listing-repositories
"""

import msgspec
from aiohttp import web

from mirror.api.lists import list_response
from mirror.api.services import SERVICES
from mirror.oci.page import next_link, parse_page
from mirror.registry.answer import Handling
from mirror.registry.statistics import Result

LARGEST_PAGE = 10_000
"""Names; who asks for more gets so many and a link."""


class RepositoryList(msgspec.Struct, frozen=True):
    """Names as they are pulled from here: those of other registries begin with theirs."""

    repositories: list[str]


async def get_catalog(request: web.Request) -> web.Response:
    page = parse_page(request.query.get("n"), request.query.get("last"), LARGEST_PAGE)
    answer = await request.app[SERVICES].catalog.list(page)
    names = [str(repository) for repository in answer.repositories]
    body = msgspec.json.encode(RepositoryList(names))
    response = list_response(request, None, Handling(Result.HOSTED), body)
    if answer.goes_on:
        response.headers["Link"] = next_link("/v2/_catalog", len(names), names[-1])
    return response
