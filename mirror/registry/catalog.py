"""Which repositories there are here: those that are hosted, and those of which there are copies."""

from dataclasses import dataclass

from mirror.oci.page import Page
from mirror.ports.hosting import Catalog
from mirror.ports.repository import Repository

MOST_NAMES = 1000
"""On a page, unless a client wishes for more."""


@dataclass(frozen=True, slots=True)
class CatalogAnswer:
    """One page, in order; ``goes_on``: there are more after the last of them."""

    repositories: tuple[Repository, ...]
    goes_on: bool


class RepositoryCatalog:
    """Lists of repositories."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def list(self, page: Page) -> CatalogAnswer:
        limit = MOST_NAMES if page.limit is None else page.limit
        if not limit:
            return CatalogAnswer((), goes_on=False)
        found = await self._catalog.list_repositories(page.last, limit + 1)
        return CatalogAnswer(tuple(found[:limit]), len(found) > limit)
