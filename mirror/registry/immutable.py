"""Tags that stay where they are once they were pushed. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from mirror.oci.reference import Tag
from mirror.ports.repository import Repository
from mirror.registry.glob import Glob


@dataclass(frozen=True, slots=True)
class ImmutableTags:
    """``patterns`` are over ``repository:tag`` of hosted repositories."""

    patterns: Sequence[Glob] = ()

    def pattern_for(self, repository: Repository, tag: Tag) -> str | None:
        """The first pattern that holds the tag in its place; ``None`` when it may move."""
        text = f"{repository.name}:{tag}"
        return next((glob.text for glob in self.patterns if glob.matches(text)), None)

    def __bool__(self) -> bool:
        return bool(self.patterns)
