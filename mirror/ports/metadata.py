"""Facts about content: which repository has which manifest, tag and blob, and when it was used.

Cut by question, so that a use case asks for the narrowest. Times are aware UTC datetimes.
Nothing here knows files, SQL or processes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mirror.oci.digest import Digest
from mirror.oci.manifest import Descriptor, References
from mirror.oci.reference import Tag
from mirror.ports.repository import Repository


class MetadataError(Exception):
    """The facts could not be read or written. Never means "not there"."""


class MetadataNewer(MetadataError):
    """A later version of the server wrote the facts; this one would damage them."""


@dataclass(frozen=True, slots=True)
class TagRecord:
    """What a tag pointed at when the upstream was last asked.

    ``confirmed_at`` is when the upstream (or a push) last said so. The manifest itself may not be
    stored: a HEAD is enough to make a record. The descriptor's platform is not kept.
    """

    descriptor: Descriptor
    confirmed_at: datetime


class TagStore(Protocol):
    """Tags of repositories."""

    async def get_tag(self, repository: Repository, tag: Tag) -> TagRecord | None:
        """The record, ``None`` when the tag was never seen."""

    async def put_tag(self, repository: Repository, tag: Tag, record: TagRecord) -> None:
        """Point the tag at the record's descriptor, or confirm that it still points there."""

    async def delete_tag(self, repository: Repository, tag: Tag) -> bool:
        """Whether it was there."""

    async def list_tags(
        self, repository: Repository, after: Tag | None, limit: int
    ) -> Sequence[Tag]:
        """The tags whose manifest the repository has, in order, those after a tag if one is given.

        Fewer than ``limit`` are the last.
        """


class ManifestStore(Protocol):
    """Which manifests a repository has. The bytes are blobs of the same digest."""

    async def get_manifest(self, repository: Repository, digest: Digest) -> Descriptor | None:
        """Media type and size as this repository serves it; ``None`` when it does not have it.

        The platform is not kept: an index tells it of its children.
        """

    async def put_manifest(
        self,
        repository: Repository,
        descriptor: Descriptor,
        references: References | None,
        stored_at: datetime,
    ) -> None:
        """Record a manifest whose bytes are stored, with what it needs (``None``: opaque).

        Its own bytes count as a stored blob from now on, which no repository may serve as a blob
        unless linked otherwise. Also links the blobs it references to the repository: who may see
        the manifest may fetch them. One transaction; idempotent; the first media type of a digest
        stays, references are added to those known. ``stored_at`` counts as a use.
        """

    async def delete_manifest(self, repository: Repository, digest: Digest) -> bool:
        """Forget it and every tag on it; whether it was there.

        The repository loses its links to the blobs that only this manifest referenced, however
        they came to be linked. The blobs stay stored until they are evicted.
        """


@dataclass(frozen=True, slots=True)
class BlobRecord:
    """A blob whose bytes are stored. ``size`` in bytes."""

    digest: Digest
    size: int


class BlobLinks(Protocol):
    """Which repositories may serve which blobs. Possession is not permission."""

    async def get_blob(self, repository: Repository, digest: Digest) -> BlobRecord | None:
        """The blob, when it is stored *and* linked to the repository."""

    async def get_stored(self, digest: Digest) -> BlobRecord | None:
        """The blob, when it is stored, whichever repository it came through."""

    async def linked_size(self, repository: Repository, digest: Digest) -> int | None:
        """The size in bytes that a manifest of this repository gives the blob, stored or not.

        ``None``: no link, or a link that no manifest explains. Where manifests disagree, the size
        is that of any of them.
        """

    async def put_blob(self, repository: Repository, blob: BlobRecord, stored_at: datetime) -> None:
        """Record stored bytes and link them. Idempotent. ``stored_at`` counts as a use, and in a
        hosted repository as the time of the link.
        """

    async def link_blob(self, repository: Repository, digest: Digest) -> None:
        """Allow the repository to serve the blob. Idempotent.

        For proxied repositories: in a hosted one such a link is as old as can be.
        """

    async def forget_blob(self, digest: Digest) -> bool:
        """The bytes are gone or wrong: no longer stored; whether they were.

        Links, references and manifests stay, so that the bytes can be fetched again.
        """


@dataclass(frozen=True, slots=True)
class Use:
    """A manifest of a repository, or a blob (``repository`` is ``None``), was used."""

    repository: Repository | None
    digest: Digest


class UsageStore(Protocol):
    """When content was last used, and running totals that survive a restart."""

    async def record_uses(self, uses: Mapping[Use, datetime]) -> None:
        """Move last use forward, never back. What is not there is passed over.

        The use of an index is a use of the manifests below it in the same repository, at any
        depth.
        """

    async def load_counters(self) -> Mapping[str, int]:
        """Every counter ever added to."""

    async def add_counters(self, increments: Mapping[str, int]) -> None:
        """Add to counters, creating those that are new."""


MOST_NEEDS = 1000
"""Of more manifests that need one blob, nobody asks how many."""


@dataclass(frozen=True, slots=True)
class IdleManifest:
    """A proxied manifest that eviction may take, with the stored blobs it keeps alive.

    ``blobs``, by digest, holds its own bytes too, each with its size and how many manifests of
    whatever repository need it (this one counted), and one more when a hosted repository links
    it. An index does not need the bytes of its children: they are manifests on their own. Counting
    manifests stops at ``MOST_NEEDS``.
    """

    repository: Repository
    descriptor: Descriptor
    last_used_at: datetime
    tags: tuple[str, ...]
    blobs: tuple[tuple[BlobRecord, int], ...]


@dataclass(frozen=True, slots=True)
class IdleBlob:
    """A stored blob that no manifest needs. ``upstreams``: the registries it is linked to."""

    blob: BlobRecord
    last_used_at: datetime
    upstreams: frozenset[str]


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a scan in order of last use goes on. Opaque to callers."""

    last_used_at: datetime
    key: str


class EvictionStore(Protocol):
    """What may go, oldest first, and its removal. Hosted content is never listed."""

    async def list_idle_manifests(
        self, after: Cursor | None, limit: int
    ) -> tuple[Sequence[IdleManifest], Cursor | None]:
        """A page in order of last use, and where the next begins; no cursor at the end.

        A page may be shorter than ``limit`` (or empty) and still have a cursor: each call is
        bounded in time however many rows there are.
        """

    async def list_idle_blobs(
        self, after: Cursor | None, limit: int
    ) -> tuple[Sequence[IdleBlob], Cursor | None]:
        """As above, for blobs that no manifest needs and no hosted repository links."""

    async def evict(
        self,
        manifests: Sequence[IdleManifest],
        blobs: Sequence[Digest],
        unless_used_after: datetime,
    ) -> Sequence[BlobRecord]:
        """Remove rows in one transaction and return the blobs whose files may go.

        Of the manifests also their tags and links, as ``delete_manifest`` does; of the blobs, only
        those named here, also their links. Checked again inside it: a manifest used after the
        given time stays, and so does a blob that some remaining manifest needs, that was used
        since, or that hosted content links.
        """


@dataclass(frozen=True, slots=True)
class Totals:
    """What is stored. ``bytes`` counts each blob once, manifests included.

    ``manifests`` counts each digest once, ``repositories`` those that have a manifest.
    ``hosted_bytes`` are those of ``bytes`` that a manifest of a hosted repository needs or a hosted
    repository links: eviction cannot have them.
    """

    blobs: int
    bytes: int
    manifests: int
    repositories: int
    hosted_bytes: int


@dataclass(frozen=True, slots=True)
class ImageSummary:
    """A tag (or an untagged top-level manifest) of a repository, for listings.

    ``size`` is the bytes stored for it, ``shared`` those of them that other images (other tags on
    the same manifest too) need as well. ``complete``: every manifest and blob of at least one
    platform is stored. ``platforms`` are those that its index names, stored or not; what an index
    lists for an unknown system (attestations) is no platform.
    """

    repository: Repository
    tag: str | None
    descriptor: Descriptor
    size: int
    shared: int
    complete: bool
    platforms: tuple[str, ...]
    confirmed_at: datetime | None
    last_used_at: datetime | None


class Inventory(Protocol):
    """What is here, for people and scripts. May be slow, never unbounded."""

    async def totals(self) -> Totals:
        """Totals of everything stored."""

    async def list_images(
        self, repository: Repository | None, after: str | None, limit: int
    ) -> tuple[Sequence[ImageSummary], str | None]:
        """A page of images by repository and tag, and the key the next begins after.

        Of a repository the tags come first, then what is untagged, by digest. No key at the end.
        Any text is a key: it stands for a place in that order.
        """


class MetadataStore(
    TagStore, ManifestStore, BlobLinks, UsageStore, EvictionStore, Inventory, Protocol
):
    """All of it. Only the composition root asks for this."""

    async def close(self) -> None:
        """Flush and let go. Idempotent."""


class QuickFacts(Protocol):
    """What is in memory, answered without waiting. ``None`` says nothing: ask the store."""

    def peek_tag(self, repository: Repository, tag: Tag) -> TagRecord | None:
        """The record as ``get_tag`` would give it."""

    def peek_manifest(self, repository: Repository, digest: Digest) -> Descriptor | None:
        """The descriptor as ``get_manifest`` would give it."""

    def peek_blob(self, repository: Repository, digest: Digest) -> BlobRecord | None:
        """The blob as ``get_blob`` would give it."""
