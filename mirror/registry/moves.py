"""Noticing that an upstream's tag names something else than before, once for each time it does."""

from collections.abc import Awaitable, Callable

from cachetools import LRUCache

from mirror.oci.digest import Digest
from mirror.oci.manifest import Descriptor
from mirror.oci.reference import Tag
from mirror.ports.metadata import TagRecord
from mirror.ports.repository import Repository
from mirror.registry.happenings import Move

MOST_UNDER_WAY = 10_000

TellMove = Callable[[Move], Awaitable[None]]
"""Returns once it is certain that the move will be told of. Raises MetadataError."""


async def tell_nobody(_move: Move) -> None:
    """Where nobody wants to hear of it."""


class Moves:
    """The record of a tag follows only once the new manifest is here, and until then each check
    finds the same move again.
    """

    def __init__(self, tell: TellMove) -> None:
        self._tell = tell
        self._told: LRUCache[tuple[Repository, Tag], Digest] = LRUCache(MOST_UNDER_WAY)

    async def look(
        self, repository: Repository, tag: Tag, before: TagRecord | None, found: Descriptor
    ) -> None:
        """To be called before the record changes, or a crash would swallow the move."""
        key = (repository, tag)
        if before is None or before.descriptor.digest == found.digest:
            self._told.pop(key, None)
        elif self._told.get(key) != found.digest:
            await self._tell(Move(repository, tag, before, found))
            self._told[key] = found.digest
