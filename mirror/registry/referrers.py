"""What refers to manifests of proxied repositories, as the upstream lists it.

Always the whole list: filtering it is cheap, and one list in memory serves every filter.
"""

import functools
from dataclasses import dataclass, replace
from datetime import timedelta

from mirror.oci.digest import Digest
from mirror.oci.errors import ManifestUnknown
from mirror.oci.referrers import Referrer
from mirror.ports.clock import Clock
from mirror.ports.repository import Repository
from mirror.ports.upstream import UpstreamError
from mirror.registry.answer import ReferrersAnswer
from mirror.registry.proxied import ProxiedRegistries
from mirror.registry.recent_lists import RecentLists
from mirror.registry.refusal import refuse
from mirror.registry.routing import Route, upstream_route

ROOM = 16 * 1024 * 1024
"""Bytes of descriptors in memory."""


@dataclass(frozen=True, slots=True)
class ReferrerPorts:
    """What the use case works with. A list that is held waits ``stale_after`` for its upstream."""

    registries: ProxiedRegistries
    clock: Clock
    stale_after: timedelta


class Referrers:
    """Lists of referrers, for every client at once."""

    def __init__(self, ports: ReferrerPorts) -> None:
        self._registries = ports.registries
        self._recent: RecentLists[tuple[Repository, Digest], tuple[Referrer, ...]] = RecentLists(
            ports.clock, ports.stale_after, ROOM, _size
        )

    async def list(
        self, route: Route, digest: Digest, artifact_type: str | None
    ) -> ReferrersAnswer:
        """Those of one type, or all. Raises OCIError when they cannot be told.

        Where the upstream lists none, that is a 404: clients then look for the fallback tag, which
        is pulled like any other.
        """
        route = upstream_route(route)
        repository = route.repository
        work = functools.partial(self._ask, repository, digest)
        try:
            lately = await self._recent.get((repository, digest), work)
        except UpstreamError as error:
            raise refuse("referrers", route.approach, error) from error
        if lately.value is None:
            raise ManifestUnknown("the upstream does not list referrers")
        answer = ReferrersAnswer(repository, lately.value, lately.handling)
        if artifact_type is None:
            return answer
        wanted = (entry for entry in lately.value if entry.artifact_type == artifact_type)
        return replace(answer, referrers=tuple(wanted))

    async def close(self) -> None:
        await self._recent.close()

    async def _ask(self, repository: Repository, digest: Digest) -> tuple[Referrer, ...] | None:
        upstream = self._registries.online(repository.upstream or "").upstream
        referrers = await upstream.list_referrers(repository.name, digest)
        if referrers is None:
            return None
        # Pages may overlap when something is added between them.
        return tuple({referrer.digest: referrer for referrer in referrers}.values())


def _size(referrers: tuple[Referrer, ...]) -> int:
    return sum(len(referrer.content) for referrer in referrers)
