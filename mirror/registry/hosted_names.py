"""Which names are hosted repositories that have something to pull, in memory.

A pull of a name that is not known here may mean a repository of the default upstream.
"""

import logging

from mirror.ports.hosting import Catalog
from mirror.ports.metadata import MetadataError
from mirror.ports.repository import Repository
from mirror.registry.routing import Route

log = logging.getLogger(__name__)

STEP = 1000
"""Names that are asked of the metadata at once."""


class HostedNames:
    """Known is a hosted repository that has a manifest."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._known: dict[Repository, int] = {}
        self._pushes = 0

    async def load(self) -> None:
        """Take up what earlier runs hosted."""
        after = None
        while True:
            page = await self._catalog.list_repositories(after, STEP, hosted_only=True)
            for repository in page:
                self.add(repository)
            if len(page) < STEP:
                return
            after = str(page[-1])

    def knows(self, repository: Repository) -> bool:
        return repository in self._known

    def answers(self, route: Route) -> bool:
        """Whether a pull ends here, and no upstream is asked whatever comes of it."""
        if route.repository.upstream is not None:
            return False
        has_elsewhere = route.fallback is not None or route.kept_out is not None
        return not has_elsewhere or self.knows(route.repository)

    def add(self, repository: Repository) -> None:
        """A manifest was pushed to it."""
        self._pushes += 1
        self._known[repository] = self._pushes

    async def drop_if_empty(self, repository: Repository) -> None:
        """A manifest of it was removed. A push meanwhile keeps it known."""
        last_push = self._known.get(repository)
        try:
            is_empty = not await self._has_manifest(repository)
        except MetadataError as error:
            log.warning("whether %s is empty could not be told: %s", repository, error)
            return
        if is_empty and self._known.get(repository) == last_push:
            self._known.pop(repository, None)

    async def _has_manifest(self, repository: Repository) -> bool:
        place = _just_before(str(repository))
        found = await self._catalog.list_repositories(place, 1, hosted_only=True)
        return list(found) == [repository]


def _just_before(name: str) -> str:
    """A text that sorts before the name, and after every other name that does.

    All that a name can hold sorts before the tilde.
    """
    return f"{name[:-1]}{chr(ord(name[-1]) - 1)}~"
