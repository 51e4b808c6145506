"""What the memory adapter knows, as plain collections, and what several parts ask of it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from mirror.oci.digest import Digest
from mirror.oci.manifest import Descriptor, References
from mirror.oci.reference import Tag
from mirror.ports.metadata import TagRecord
from mirror.ports.repository import Repository


@dataclass(slots=True)
class StoredBlob:
    size: int
    last_used_at: datetime


@dataclass(slots=True)
class StoredManifest:
    """``children`` and ``blobs`` are what it refers to, each digest once."""

    repository: Repository
    descriptor: Descriptor
    last_used_at: datetime
    children: dict[Digest, Descriptor] = field(default_factory=dict)
    blobs: dict[Digest, Descriptor] = field(default_factory=dict)

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


@dataclass(slots=True)
class Facts:
    tags: dict[tuple[Repository, Tag], TagRecord] = field(default_factory=dict)
    manifests: dict[tuple[Repository, Digest], StoredManifest] = field(default_factory=dict)
    blobs: dict[Digest, StoredBlob] = field(default_factory=dict)
    links: set[tuple[Repository, Digest]] = field(default_factory=set)
    counters: Counter[str] = field(default_factory=Counter)

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
        return [
            other
            for other in self.manifests.values()
            if other.repository == manifest.repository and manifest.digest in other.children
        ]

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
            if not self.is_referenced(repository, blob):
                self.links.discard((repository, blob))
        return True

    def is_referenced(self, repository: Repository, blob: Digest) -> bool:
        """Whether a manifest of the repository refers to the blob."""
        return any(
            manifest.repository == repository and blob in manifest.blobs
            for manifest in self.manifests.values()
        )
