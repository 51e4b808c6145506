"""Images as the memory adapter lists them: every image looked at in full, for every page."""

from collections.abc import Iterator
from dataclasses import dataclass

from mirror.metadata.listing import is_unknown, named_platforms
from mirror.metadata.memory_facts import Facts, StoredManifest
from mirror.oci.digest import Digest
from mirror.oci.manifest import Descriptor
from mirror.oci.reference import Tag
from mirror.ports.metadata import ImageSummary, TagRecord
from mirror.ports.repository import Repository


@dataclass(frozen=True, slots=True)
class _Image:
    repository: Repository
    tag: Tag | None
    record: TagRecord | None
    manifest: StoredManifest | None
    blobs: frozenset[Digest]

    @property
    def descriptor(self) -> Descriptor:
        if self.record is not None:
            return self.record.descriptor
        assert self.manifest is not None, "what has no tag is a manifest"
        return self.manifest.descriptor


def summarize_images(facts: Facts) -> list[ImageSummary]:
    """Every image, in no order."""
    images = list(_images(facts))
    return [_summarize(facts, image, images) for image in images]


def _images(facts: Facts) -> Iterator[_Image]:
    for (repository, tag), record in facts.tags.items():
        manifest = facts.manifests.get((repository, record.descriptor.digest))
        yield _Image(repository, tag, record, manifest, _stored_blobs(facts, manifest))
    for (repository, digest), manifest in facts.manifests.items():
        if not facts.tags_on(repository, digest) and not facts.parents(manifest):
            yield _Image(repository, None, None, manifest, _stored_blobs(facts, manifest))


def _stored_blobs(facts: Facts, manifest: StoredManifest | None) -> frozenset[Digest]:
    if manifest is None:
        return frozenset()
    needed = {digest for part in facts.below(manifest) for digest in part.needs}
    return frozenset(digest for digest in needed if digest in facts.blobs)


def _summarize(facts: Facts, image: _Image, images: list[_Image]) -> ImageSummary:
    others = {digest for other in images if other is not image for digest in other.blobs}
    return ImageSummary(
        repository=image.repository,
        tag=str(image.tag) if image.tag else None,
        descriptor=image.descriptor,
        size=sum(facts.blobs[digest].size for digest in image.blobs),
        shared=sum(facts.blobs[digest].size for digest in image.blobs & others),
        complete=image.manifest is not None and _is_complete(facts, image.manifest),
        platforms=_platforms(facts, image.manifest),
        confirmed_at=image.record.confirmed_at if image.record else None,
        last_used_at=image.manifest.last_used_at if image.manifest else None,
    )


def _is_complete(facts: Facts, manifest: StoredManifest) -> bool:
    if not all(digest in facts.blobs for digest in manifest.needs):
        return False
    children = manifest.children.values()
    systems = [child for child in children if not is_unknown(str(child.platform))] or children
    if not systems:
        return True
    stored = [facts.manifests.get((manifest.repository, child.digest)) for child in systems]
    return any(child is not None and _is_complete(facts, child) for child in stored)


def _platforms(facts: Facts, manifest: StoredManifest | None) -> tuple[str, ...]:
    if manifest is None:
        return ()
    named = list(manifest.children.values()) or [
        parent.children[manifest.digest] for parent in facts.parents(manifest)
    ]
    return named_platforms({str(child.platform) for child in named if child.platform})
