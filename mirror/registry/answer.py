"""What a use case answers: the content, and what the cache did to get it."""

from dataclasses import dataclass

from mirror.oci.digest import Digest
from mirror.oci.manifest import Descriptor
from mirror.oci.reference import Tag
from mirror.oci.referrers import Referrer
from mirror.ports.blobs import OpenBlob
from mirror.ports.repository import Repository
from mirror.registry.statistics import Result


@dataclass(frozen=True, slots=True)
class Handling:
    """What the cache did. ``ttl`` is seconds a tag stays fresh; ``stored`` whether a miss is kept;
    ``detail`` says why an answer is not current, and then it is a warning to the user too.
    """

    result: Result
    ttl: int | None = None
    stored: bool = True
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class ManifestAnswer:
    """``content`` is ``None`` when only the descriptor was asked for and is known."""

    repository: Repository
    descriptor: Descriptor
    content: bytes | None
    handling: Handling


@dataclass(frozen=True, slots=True)
class BlobAnswer:
    """An opened blob; whoever sends it closes it. ``blob`` is ``None`` when only the size was
    asked for.
    """

    repository: Repository
    digest: Digest
    size: int
    blob: OpenBlob | None
    handling: Handling


@dataclass(frozen=True, slots=True)
class TagsAnswer:
    """One page of tags, in order; ``goes_on``: there are more after the last of them."""

    repository: Repository
    tags: tuple[Tag, ...]
    goes_on: bool
    handling: Handling


@dataclass(frozen=True, slots=True)
class ReferrersAnswer:
    """What refers to a manifest; ``goes_on_after`` is where the next page begins."""

    repository: Repository
    referrers: tuple[Referrer, ...]
    handling: Handling
    goes_on_after: Digest | None = None
