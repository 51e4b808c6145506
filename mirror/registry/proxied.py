"""What use cases need of one upstream, and of all of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from mirror.ports.upstream import Upstream, UpstreamStatus, UpstreamUnreachable
from mirror.registry.freshness import FreshnessPolicy


class DeletedTags(Enum):
    """What becomes of a cached tag that the upstream no longer has."""

    NOT_FOUND = "not_found"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class ProxiedRegistry:
    """One configured upstream with its rules."""

    name: str
    upstream: Upstream
    freshness: FreshnessPolicy
    deleted_tags: DeletedTags = DeletedTags.NOT_FOUND


@dataclass(frozen=True, slots=True)
class ProxiedRegistries:
    """Every configured upstream by name. ``offline``: none of them may be contacted."""

    by_name: Mapping[str, ProxiedRegistry]
    offline: bool = False

    def __getitem__(self, name: str) -> ProxiedRegistry:
        return self.by_name[name]

    def online(self, name: str) -> ProxiedRegistry:
        """To be asked for what is not held. Raises UpstreamUnreachable where nobody may be."""
        if self.offline:
            raise UpstreamUnreachable("not cached, and this mirror is offline")
        return self.by_name[name]

    def statuses(self) -> Mapping[str, UpstreamStatus]:
        return {name: registry.upstream.status() for name, registry in self.by_name.items()}

    def counts(self) -> Iterator[tuple[str, str, int]]:
        """What was asked of each upstream since this process began, for the statistics."""
        for name, status in self.statuses().items():
            yield "upstream_requests", name, status.requests
            yield "upstream_errors", name, status.errors
            yield "upstream_bytes", name, status.bytes
            yield "upstream_tokens", name, status.tokens

    def frozen(self) -> frozenset[str]:
        """The upstreams that could not give us content again just now."""
        if self.offline:
            return frozenset(self.by_name)
        statuses = self.statuses().items()
        return frozenset(name for name, status in statuses if not status.reachable)


def stopping() -> UpstreamUnreachable:
    """What those hear who wait for work that is stopped."""
    return UpstreamUnreachable("the server is stopping")
