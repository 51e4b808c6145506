"""Why content may not be evicted just now: one function each, tried in turn."""

from collections.abc import Callable

from mirror.oci.digest import Digest
from mirror.ports.metadata import IdleManifest, Use
from mirror.registry.eviction import USED_JUST_NOW, Idle, Protection
from mirror.registry.usage import Usage


def unreachable_upstreams(frozen: Callable[[], frozenset[str]]) -> Protection:
    """What cannot be fetched again is not deleted."""

    def protect(idle: Idle) -> str | None:
        upstreams = (
            frozenset({idle.repository.upstream or ""})
            if isinstance(idle, IdleManifest)
            else idle.upstreams
        )
        blocked = sorted(upstreams & frozen())
        return f"{blocked[0]} could not give it again now" if blocked else None

    return protect


def in_use(using: Callable[[Digest], bool]) -> Protection:
    """What is being sent or downloaded stays."""

    def protect(idle: Idle) -> str | None:
        digests = (
            (blob.digest for blob, _ in idle.blobs)
            if isinstance(idle, IdleManifest)
            else (idle.blob.digest,)
        )
        return "in use" if any(using(digest) for digest in digests) else None

    return protect


def used_just_now(usage: Usage) -> Protection:
    """A use that is not written yet counts too."""

    def protect(idle: Idle) -> str | None:
        use = (
            Use(idle.repository, idle.descriptor.digest)
            if isinstance(idle, IdleManifest)
            else Use(None, idle.blob.digest)
        )
        return USED_JUST_NOW if use in usage else None

    return protect
