"""The tags of proxied repositories: the upstream's list whole, cut into pages of our own.

So the pages are right whatever the upstream's are, and lead to us.
"""

import functools
from bisect import bisect_right
from dataclasses import dataclass
from datetime import timedelta

from mirror.oci.errors import NameUnknown
from mirror.oci.page import Page
from mirror.oci.reference import Tag
from mirror.oci.tag_list import MOST_TAGS
from mirror.ports.clock import Clock
from mirror.ports.metadata import TagStore
from mirror.ports.repository import Repository
from mirror.ports.upstream import UpstreamError
from mirror.registry.answer import Handling, TagsAnswer
from mirror.registry.proxied import ProxiedRegistries
from mirror.registry.recent_lists import RecentLists
from mirror.registry.refusal import refuse
from mirror.registry.routing import Route, upstream_route
from mirror.registry.statistics import Result

MOST_HELD = 2 * MOST_TAGS
"""Tags of all lists in memory, of about 150 bytes each."""

STEP = 1000
"""Tags that are asked of the metadata at once."""


@dataclass(frozen=True, slots=True)
class TagPorts:
    """What the use case works with. A list that is held waits ``stale_after`` for its upstream."""

    tags: TagStore
    registries: ProxiedRegistries
    clock: Clock
    stale_after: timedelta


class Tags:
    """Lists of tags, for every client at once."""

    def __init__(self, ports: TagPorts) -> None:
        self._ports = ports
        self._recent: RecentLists[Repository, tuple[Tag, ...]] = RecentLists(
            ports.clock, ports.stale_after, MOST_HELD, len
        )

    async def list(self, route: Route, page: Page) -> TagsAnswer:
        """Raises OCIError when there is nothing to list."""
        route = upstream_route(route)
        repository = route.repository
        try:
            lately = await self._recent.get(repository, functools.partial(self._ask, repository))
        except UpstreamError as error:
            tags = await self._held(repository)
            if not tags:
                raise refuse("tags", route.approach, error) from error
            return _answer(repository, tags, page, self._partial(error))
        if lately.value is None:
            raise NameUnknown(detail={"name": str(repository.name)})
        return _answer(repository, lately.value, page, lately.handling)

    async def close(self) -> None:
        await self._recent.close()

    async def _ask(self, repository: Repository) -> tuple[Tag, ...] | None:
        upstream = self._ports.registries.online(repository.upstream or "").upstream
        tags = await upstream.list_tags(repository.name)
        return None if tags is None else tuple(sorted(set(tags), key=str))

    async def _held(self, repository: Repository) -> tuple[Tag, ...]:
        """What can be pulled without the upstream."""
        tags: list[Tag] = []
        while len(tags) < MOST_TAGS:
            last = tags[-1] if tags else None
            more = await self._ports.tags.list_tags(repository, last, STEP)
            tags += more
            if len(more) < STEP:
                break
        return tuple(tags)

    def _partial(self, error: UpstreamError) -> Handling:
        reason = "this mirror is offline" if self._ports.registries.offline else str(error)
        detail = f"{reason}; these are only the tags that are held here"
        return Handling(Result.STALE, detail=detail)


def _answer(
    repository: Repository, tags: tuple[Tag, ...], page: Page, handling: Handling
) -> TagsAnswer:
    """``tags`` are all of them, in order."""
    start = 0 if page.last is None else bisect_right(tags, page.last, key=str)
    stop = len(tags) if page.limit is None else start + page.limit
    # A page of none has no last tag that another could begin after.
    goes_on = start < stop < len(tags)
    return TagsAnswer(repository, tags[start:stop], goes_on, handling)
