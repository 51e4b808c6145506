"""What refers to manifests of proxied repositories: the upstream's list whole, filtered and cut
into pages of our own.

So one list in memory serves every filter, and the pages are no larger than clients take and lead
to us.
"""

import functools
from bisect import bisect_right
from dataclasses import dataclass, replace
from datetime import timedelta

from mirror.oci.digest import Digest, parse_digest
from mirror.oci.errors import ManifestUnknown
from mirror.oci.page import Page
from mirror.oci.referrers import Referrer
from mirror.ports.clock import Clock
from mirror.ports.repository import Repository
from mirror.ports.upstream import UpstreamError
from mirror.registry.answer import Handling, ReferrersAnswer
from mirror.registry.proxied import ProxiedRegistries
from mirror.registry.recent_lists import RecentLists
from mirror.registry.recorded_referrers import RecordedReferrers
from mirror.registry.referrers_page import begin_page
from mirror.registry.refusal import refuse
from mirror.registry.routing import Route, upstream_route
from mirror.registry.statistics import Result

ROOM = 16 * 1024 * 1024
"""Bytes of descriptors in memory."""

ANY = Page(1, None)


@dataclass(frozen=True, slots=True)
class ReferrerPorts:
    """What the use case works with. A list that is held waits ``stale_after`` for its upstream."""

    recorded: RecordedReferrers
    registries: ProxiedRegistries
    clock: Clock
    stale_after: timedelta


class Referrers:
    """Lists of referrers, for every client at once."""

    def __init__(self, ports: ReferrerPorts) -> None:
        self._recorded = ports.recorded
        self._registries = ports.registries
        self._recent: RecentLists[tuple[Repository, Digest], tuple[Referrer, ...]] = RecentLists(
            ports.clock, ports.stale_after, ROOM, _size
        )

    async def list(
        self, route: Route, digest: Digest, artifact_type: str | None, page: Page
    ) -> ReferrersAnswer:
        """Those of one type, or all, in order of their digests. Raises OCIError when they cannot be
        told, and DigestInvalid for a page after what is no digest.

        Where the upstream lists none, that is a 404: clients then look for the fallback tag, which
        is pulled like any other.
        """
        route = upstream_route(route)
        repository = route.repository
        after = None if page.last is None else parse_digest(page.last)
        work = functools.partial(self._ask, repository, digest)
        try:
            lately = await self._recent.get((repository, digest), work)
        except UpstreamError as error:
            # What was pulled is here, whatever was listed when.
            if not (await self._recorded.list(repository, digest, None, ANY)).referrers:
                raise refuse("referrers", route.approach, error) from error
            answer = await self._recorded.list(repository, digest, artifact_type, page)
            return replace(answer, handling=self._partial(error))
        if lately.value is None:
            raise ManifestUnknown("the upstream does not list referrers")
        answer = ReferrersAnswer(repository, lately.value, lately.handling)
        return _cut(answer, artifact_type, page, after)

    async def close(self) -> None:
        await self._recent.close()

    async def _ask(self, repository: Repository, digest: Digest) -> tuple[Referrer, ...] | None:
        upstream = self._registries.online(repository.upstream or "").upstream
        referrers = await upstream.list_referrers(repository.name, digest)
        if referrers is None:
            return None
        # Pages may overlap when something is added between them.
        each = {referrer.digest: referrer for referrer in referrers}
        return tuple(sorted(each.values(), key=_place))

    def _partial(self, error: UpstreamError) -> Handling:
        reason = "this mirror is offline" if self._registries.offline else str(error)
        detail = f"{reason}; these are only the referrers that are held here"
        return Handling(Result.STALE, detail=detail)


def _cut(
    whole: ReferrersAnswer, artifact_type: str | None, page: Page, after: Digest | None
) -> ReferrersAnswer:
    """One page of an answer that has all referrers."""
    sheet = begin_page(artifact_type, page)
    start = 0 if after is None else bisect_right(whole.referrers, str(after), key=_place)
    rest = whole.referrers[start:] if sheet.limit else ()
    goes_on = not all(sheet.takes(referrer) for referrer in rest)
    return replace(
        whole, referrers=tuple(sheet.taken), goes_on_after=sheet.last if goes_on else None
    )


def _place(referrer: Referrer) -> str:
    return str(referrer.digest)


def _size(referrers: tuple[Referrer, ...]) -> int:
    return sum(len(referrer.content) for referrer in referrers)
