"""Facts about repositories that are hosted here: what was pushed, who refers to what, what is dead.

Times are aware UTC datetimes. A link allows a repository to serve a blob; in a hosted repository
it also has an age, because a client was told that the blob is there and may be about to push a
manifest that needs it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mirror.oci.digest import Digest
from mirror.oci.manifest import Descriptor, References
from mirror.oci.reference import Tag
from mirror.ports.metadata import BlobRecord, MetadataStore
from mirror.ports.repository import Repository


@dataclass(frozen=True, slots=True)
class Push:
    """A manifest to be recorded in a hosted repository; its bytes are stored.

    ``tags`` are to point at it, ``immutable`` are those of them that may not move once they are
    there. ``lender`` is a repository whose blobs this one takes over where it has none of its own;
    children are not lent.
    """

    repository: Repository
    descriptor: Descriptor
    references: References
    tags: tuple[Tag, ...]
    immutable: frozenset[Tag]
    lender: Repository | None
    pushed_at: datetime


@dataclass(frozen=True, slots=True)
class PushOutcome:
    """Recorded when both are empty, else nothing was.

    ``missing`` are the blobs and then the children that the repository does not have, in the order
    of the manifest, each digest once. ``immovable`` are the immutable tags that point at something
    else.
    """

    missing: tuple[Descriptor, ...]
    immovable: tuple[Tag, ...]

    @property
    def is_recorded(self) -> bool:
        return not self.missing and not self.immovable


MOST_NAMED = 10
"""Of more manifests that need something, nobody asks which."""


@dataclass(frozen=True, slots=True)
class Removal:
    """Whether it was there, and what kept it: digests of manifests of the repository, some of
    them, that need it. It is gone when it was there and nothing did.
    """

    found: bool
    needed_by: tuple[Digest, ...]


class PushStore(Protocol):
    """What changes in hosted repositories. Each call is one transaction, durable on return."""

    async def push_manifest(self, push: Push) -> PushOutcome:
        """Record a manifest, what it needs, its subject and its tags, unless something is missing
        or in the way.

        A blob is there when it is stored and linked to the repository, a child when it is a
        manifest of the repository. The manifest's own bytes count as a stored blob from now on,
        which no repository may serve as a blob unless linked otherwise. Links to what it needs are
        made or renewed. Idempotent; the first media type of a digest stays, for its tags too, until
        it is removed.
        """

    async def remove_manifest(self, repository: Repository, digest: Digest) -> Removal:
        """Forget it and every tag on it, unless an index of the repository needs it. What is about
        it does not.

        Links stay, until they are collected: another push may rely on them.
        """

    async def mount_blob(
        self, repository: Repository, digest: Digest, at: datetime
    ) -> BlobRecord | None:
        """Link a stored blob, or renew the link, as of ``at``; ``None`` when it is not stored."""

    async def renew_link(
        self, repository: Repository, digest: Digest, at: datetime
    ) -> BlobRecord | None:
        """Renew the link of a stored blob as of ``at``; ``None`` when it is not stored or not
        linked to the repository.
        """

    async def unlink_blob(self, repository: Repository, digest: Digest) -> Removal:
        """The repository may not serve the blob any more, unless one of its manifests refers to it.

        It was there when it was linked, stored or not. A manifest does not refer to itself: that
        its bytes were pushed as a blob too can be undone.
        """

    async def list_owners(self, digest: Digest, limit: int) -> Sequence[Repository]:
        """Repositories, hosted or proxied, that link a stored blob: hosted ones first, then by
        upstream and name. None when it is not stored.
        """


class ReferrerStore(Protocol):
    """Manifests by what they are about."""

    async def list_referrers(
        self, repository: Repository, subject: Digest, after: Digest | None, limit: int
    ) -> Sequence[Descriptor]:
        """The manifests of the repository with this subject, in order of their digests, those
        after a digest if one is given. Fewer than ``limit`` are the last.

        Without platforms; what else a referrer says of itself is in its bytes.
        """


class Catalog(Protocol):
    """Which repositories there are."""

    async def list_repositories(
        self, after: str | None, limit: int, *, hosted_only: bool = False
    ) -> Sequence[Repository]:
        """Those that have a manifest, in order of their text (``docker.io/library/nginx``, and
        without a prefix what is hosted), compared as bytes. Fewer than ``limit`` are the last.

        Any text may be given to come after, whether or not there is such a repository.
        """


@dataclass(frozen=True, slots=True)
class DeadBlob:
    """A stored blob that nothing needs. ``idle_since`` is when it was last pushed, linked, asked
    for or used.
    """

    blob: BlobRecord
    idle_since: datetime


@dataclass(frozen=True, slots=True)
class LinkCursor:
    """Where looking at links in the order of their age goes on. Opaque to callers."""

    linked_at: datetime
    key: str


class CollectionStore(Protocol):
    """What was pushed and is not needed any more.

    A blob is dead when no manifest needs it, no proxied repository links it, and it was neither
    pushed, linked, renewed nor used after the given time. What a proxied repository links is
    eviction's business.
    """

    async def list_dead_blobs(
        self, unless_after: datetime, after: Digest | None, limit: int
    ) -> Sequence[DeadBlob]:
        """In order of their digests. Fewer than ``limit`` are the last.

        Looks at whatever is stored, some of it at a time, so that it delays nobody; what changes
        meanwhile may be told as it was.
        """

    async def collect_blobs(
        self, digests: Sequence[Digest], unless_after: datetime
    ) -> Sequence[BlobRecord]:
        """Remove the rows and links of those that are dead, looked at again inside the
        transaction; returns the blobs whose files may go. One transaction, however many.
        """

    async def collect_links(
        self, unless_after: datetime, after: LinkCursor | None, limit: int
    ) -> tuple[int, LinkCursor | None]:
        """Remove links of hosted repositories to blobs that none of their own manifests needs,
        unless renewed after the given time: how many, and where the next are; no cursor at the end.

        Looks at some of the links, the oldest first, and removes at most ``limit`` of them: there
        may be more also where none went. What is removed is looked at again inside the transaction
        that does it.
        """


class HostingStore(PushStore, ReferrerStore, Catalog, CollectionStore, Protocol):
    """All of it."""


class Facts(MetadataStore, HostingStore, Protocol):
    """Everything that is recorded. Only the composition root asks for this."""
