"""What can be told of a change in the registry, in the words of those who make it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from mirror.oci.digest import Digest
from mirror.oci.manifest import Descriptor
from mirror.oci.reference import Tag
from mirror.ports.events import EventAction, Target
from mirror.ports.metadata import BlobRecord, TagRecord
from mirror.ports.repository import Repository

OPAQUE = "application/octet-stream"
"""The media type of a blob: what its bytes are is for manifests to say."""


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that endpoints may want to hear of."""

    action: EventAction
    target: Target


@dataclass(frozen=True, slots=True)
class Move:
    """An upstream's tag names ``now``, and did not when it was asked ``before``."""

    repository: Repository
    tag: Tag
    before: TagRecord
    now: Descriptor


def manifest_pushed(
    repository: Repository, descriptor: Descriptor, tags: Sequence[Tag]
) -> tuple[Happening, ...]:
    """One for each tag that it was pushed to, or one without a tag."""
    targets = [_manifest(repository, descriptor, tag) for tag in tags or (None,)]
    return tuple(Happening(EventAction.PUSH, target) for target in targets)


def manifest_pulled(repository: Repository, descriptor: Descriptor, tag: Tag | None) -> Happening:
    return Happening(EventAction.PULL, _manifest(repository, descriptor, tag))


def manifest_deleted(repository: Repository, digest: Digest) -> Happening:
    return Happening(EventAction.DELETE, Target(repository, "manifest", digest))


def tag_deleted(repository: Repository, tag: Tag) -> Happening:
    return Happening(EventAction.DELETE, Target(repository, "manifest", tag=tag))


def blob_pushed(repository: Repository, blob: BlobRecord) -> Happening:
    return Happening(EventAction.PUSH, _blob(repository, blob))


def blob_pulled(repository: Repository, blob: BlobRecord) -> Happening:
    return Happening(EventAction.PULL, _blob(repository, blob))


def blob_mounted(repository: Repository, blob: BlobRecord, lender: Repository | None) -> Happening:
    """``lender``: the repository it was mounted from, if it was told."""
    return Happening(EventAction.MOUNT, _blob(repository, blob, lender))


def blob_deleted(repository: Repository, digest: Digest) -> Happening:
    return Happening(EventAction.DELETE, Target(repository, "blob", digest))


def tag_moved(move: Move) -> Happening:
    target = Target(
        repository=move.repository,
        kind="manifest",
        digest=move.now.digest,
        media_type=move.now.media_type,
        size=move.now.size,
        tag=move.tag,
        previous=move.before.descriptor.digest,
    )
    return Happening(EventAction.MOVED, target)


def _manifest(repository: Repository, descriptor: Descriptor, tag: Tag | None) -> Target:
    return Target(
        repository, "manifest", descriptor.digest, descriptor.media_type, descriptor.size, tag
    )


def _blob(repository: Repository, blob: BlobRecord, lender: Repository | None = None) -> Target:
    return Target(repository, "blob", blob.digest, OPAQUE, blob.size, lender=lender)
