"""What the memory adapter knows, as plain collections, and what several parts ask of it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from mirror.metadata.kept import kept_descriptor
from mirror.oci.digest import Digest
from mirror.oci.manifest import Descriptor, References
from mirror.oci.reference import Tag
from mirror.ports.metadata import BlobRecord, TagRecord
from mirror.ports.repository import Repository

LONG_AGO = datetime.min.replace(tzinfo=UTC)
"""When a blob was linked, as far as nobody said."""


@dataclass(slots=True)
class StoredBlob:
    size: int
    last_used_at: datetime


@dataclass(slots=True)
class StoredManifest:
    """``children``, ``blobs`` and ``subjects`` are what it refers to, each digest once."""

    repository: Repository
    descriptor: Descriptor
    last_used_at: datetime
    children: dict[Digest, Descriptor] = field(default_factory=dict)
    blobs: dict[Digest, Descriptor] = field(default_factory=dict)
    subjects: set[Digest] = field(default_factory=set)

    @property
    def digest(self) -> Digest:
        return self.descriptor.digest

    @property
    def needs(self) -> set[Digest]:
        return {self.digest, *self.blobs}

    def add(self, references: References) -> None:
        for child in references.manifests:
            self.children.setdefault(child.digest, child)
        for blob in references.blobs:
            self.blobs.setdefault(blob.digest, blob)
        if references.subject is not None:
            self.subjects.add(references.subject.digest)


@dataclass(slots=True)
class Facts:
    """``links`` are told when they were last renewed."""

    tags: dict[tuple[Repository, Tag], TagRecord] = field(default_factory=dict)
    manifests: dict[tuple[Repository, Digest], StoredManifest] = field(default_factory=dict)
    blobs: dict[Digest, StoredBlob] = field(default_factory=dict)
    links: dict[tuple[Repository, Digest], datetime] = field(default_factory=dict)
    counters: Counter[str] = field(default_factory=Counter)

    def store(self, blob: BlobRecord, stored_at: datetime) -> None:
        stored = self.blobs.setdefault(blob.digest, StoredBlob(blob.size, stored_at))
        stored.size = blob.size
        stored.last_used_at = max(stored.last_used_at, stored_at)

    def stored(self, digest: Digest) -> BlobRecord | None:
        blob = self.blobs.get(digest)
        return BlobRecord(digest, blob.size) if blob else None

    def link(self, repository: Repository, digest: Digest, at: datetime = LONG_AGO) -> None:
        self.links[repository, digest] = max(at, self.links.get((repository, digest), at))

    def put_manifest(
        self,
        repository: Repository,
        descriptor: Descriptor,
        references: References | None,
        stored_at: datetime,
    ) -> None:
        manifest = self.manifests.setdefault(
            (repository, descriptor.digest),
            StoredManifest(repository, kept_descriptor(descriptor), stored_at),
        )
        manifest.last_used_at = max(manifest.last_used_at, stored_at)
        self.store(BlobRecord(descriptor.digest, descriptor.size), stored_at)
        if references is not None:
            manifest.add(references)
            for blob in references.blobs:
                self.link(repository, blob.digest, stored_at)

    def needing(self, digest: Digest) -> list[StoredManifest]:
        """Manifests of whatever repository that need the blob."""
        return [manifest for manifest in self.manifests.values() if digest in manifest.needs]

    def linking(self, digest: Digest) -> set[Repository]:
        return {repository for repository, linked in self.links if linked == digest}

    def tags_on(self, repository: Repository, digest: Digest) -> list[Tag]:
        return [
            tag
            for (owner, tag), record in self.tags.items()
            if owner == repository and record.descriptor.digest == digest
        ]

    def parents(self, manifest: StoredManifest) -> list[StoredManifest]:
        """Indexes of the same repository that list the manifest."""
        held = self.manifests_of(manifest.repository)
        return [other for other in held if manifest.digest in other.children]

    def manifests_of(self, repository: Repository) -> list[StoredManifest]:
        return [held for (owner, _), held in self.manifests.items() if owner == repository]

    def referring(self, repository: Repository, blob: Digest) -> list[StoredManifest]:
        """Manifests of the repository that refer to the blob."""
        return [held for held in self.manifests_of(repository) if blob in held.blobs]

    def below(self, top: StoredManifest) -> Iterator[StoredManifest]:
        """The manifest and those under it that the repository has, each once."""
        seen = {top.digest}
        waiting = [top]
        while waiting:
            manifest = waiting.pop()
            yield manifest
            for digest in manifest.children:
                child = self.manifests.get((top.repository, digest))
                if child is not None and digest not in seen:
                    seen.add(digest)
                    waiting.append(child)

    def remove_manifest(self, repository: Repository, digest: Digest) -> bool:
        for tag in self.tags_on(repository, digest):
            del self.tags[repository, tag]
        manifest = self.manifests.pop((repository, digest), None)
        if manifest is None:
            return False
        for blob in manifest.blobs:
            if not self.referring(repository, blob):
                self.links.pop((repository, blob), None)
        return True

    def remove_blob(self, digest: Digest) -> BlobRecord:
        """A stored one, and every link to it."""
        blob = self.blobs.pop(digest)
        self.links = {link: at for link, at in self.links.items() if link[1] != digest}
        return BlobRecord(digest, blob.size)
