"""The tags of hosted repositories, as they are at this moment."""

from mirror.oci.errors import NameUnknown
from mirror.oci.page import Page
from mirror.oci.reference import Tag
from mirror.oci.tag_list import MOST_TAGS
from mirror.ports.metadata import TagStore
from mirror.ports.repository import Repository
from mirror.registry.answer import Handling, TagsAnswer
from mirror.registry.hosted_names import HostedNames
from mirror.registry.statistics import Result

STEP = 1000
"""Tags that are asked of the metadata at once."""


class HostedTags:
    """Lists of tags."""

    def __init__(self, names: HostedNames, tags: TagStore) -> None:
        self._names = names
        self._tags = tags

    async def list(self, repository: Repository, page: Page) -> TagsAnswer:
        """Raises NameUnknown."""
        if not self._names.knows(repository):
            raise NameUnknown(
                f"no repository {repository.name} here", detail={"name": str(repository.name)}
            )
        limit = MOST_TAGS if page.limit is None else page.limit
        after = None if page.last is None else Tag(page.last)
        # One more than is wanted tells whether there are more. Of none, none can be the last.
        tags = await self._take(repository, after, limit + 1) if limit else ()
        handling = Handling(Result.HOSTED)
        return TagsAnswer(repository, tags[:limit], len(tags) > limit, handling)

    async def _take(self, repository: Repository, after: Tag | None, most: int) -> tuple[Tag, ...]:
        tags: list[Tag] = []
        while len(tags) < most:
            step = min(STEP, most - len(tags))
            more = await self._tags.list_tags(repository, tags[-1] if tags else after, step)
            tags += more
            if len(more) < step:
                break
        return tuple(tags)
