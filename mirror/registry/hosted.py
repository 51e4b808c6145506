"""Changing what is hosted: manifests are pushed and deleted, blobs are deleted.

A push is answered when its bytes, its tags and all that follows from them are durable: the bytes
are stored first, then one transaction records the rest. What is left between the two is a file
that nothing knows of, which housekeeping removes.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Protocol
from weakref import WeakValueDictionary

from mirror.oci.digest import Digest, digest_of
from mirror.oci.errors import (
    BlobUnknown,
    Denied,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestUnknown,
    Unavailable,
)
from mirror.oci.manifest import Descriptor, Manifest, References, check_manifest, check_references
from mirror.oci.reference import Reference, Tag
from mirror.ports.blobs import BlobStore, StorageFull
from mirror.ports.clock import Clock
from mirror.ports.hosting import Push, PushOutcome, PushStore, Removal
from mirror.ports.metadata import TagStore
from mirror.ports.repository import Repository
from mirror.registry.custody import Custody
from mirror.registry.held import HeldManifests
from mirror.registry.hosted_names import HostedNames
from mirror.registry.immutable import ImmutableTags

LARGE = 256 * 1024
"""Bytes of a manifest that is judged in a thread: for others it takes less than a millisecond."""

STEP = 1000
"""Tags that are asked of the metadata at once."""

DEEPEST = 8
"""Indexes within indexes that are taken over at once."""

FULL = 60
"""Seconds after which a client may find that there is room again."""


class HostedFacts(PushStore, TagStore, Protocol):
    """What is changed here."""


@dataclass(frozen=True, slots=True)
class HostedPorts:
    """What the use case works with."""

    store: BlobStore
    facts: HostedFacts
    held: HeldManifests
    names: HostedNames
    custody: Custody
    immutable: ImmutableTags
    clock: Clock


@dataclass(frozen=True, slots=True)
class PushedManifest:
    """A manifest as a client sent it.

    ``tags`` are those that it is to have besides the one it may be pushed by. ``lender`` is a
    repository that blobs are taken over from.
    """

    repository: Repository
    reference: Reference
    content: bytes
    content_type: str | None = None
    tags: tuple[Tag, ...] = ()
    lender: Repository | None = None


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A push that is durable. ``subject`` is what the manifest is about."""

    descriptor: Descriptor
    subject: Digest | None


class ContentMissing(Exception):
    """A push needs content that the repository does not have: one error for each."""

    def __init__(self, errors: tuple[ManifestBlobUnknown, ...]) -> None:
        super().__init__(f"{len(errors)} blobs or manifests are missing")
        self.errors = errors


class Hosted:
    """Push and delete, for every client at once."""

    def __init__(self, ports: HostedPorts) -> None:
        self._ports = ports
        self._locks: WeakValueDictionary[Repository, asyncio.Lock] = WeakValueDictionary()

    async def push(self, pushed: PushedManifest) -> Acceptance:
        """Store the manifest and point its tags at it. Raises OCIError and ContentMissing."""
        if len(pushed.content) < LARGE:
            manifest, references = _judge(pushed)
        else:
            manifest, references = await asyncio.to_thread(_judge, pushed)
        await self._record(self._plan(pushed, manifest, references), manifest.content)
        subject = references.subject
        return Acceptance(manifest.descriptor, None if subject is None else subject.digest)

    async def delete_tag(self, repository: Repository, tag: Tag) -> None:
        """The manifest stays, and can be pulled by its digest. Raises OCIError."""
        pattern = self._ports.immutable.pattern_for(repository, tag)
        async with self._alone(repository):
            found = await self._ports.facts.get_tag(repository, tag) is not None
            if found and pattern is not None:
                raise _is_immutable(repository, tag, pattern, "deleted")
            found = await self._ports.facts.delete_tag(repository, tag)
        if not found:
            raise ManifestUnknown(detail={"name": str(repository.name), "tag": tag.value})

    async def delete_manifest(self, repository: Repository, digest: Digest) -> None:
        """Also every tag on it. Raises OCIError."""
        async with self._alone(repository):
            await self._refuse_if_held(repository, digest)
            removal = await self._ports.facts.remove_manifest(repository, digest)
        _refuse_if_needed(f"manifest {digest}", "index", removal)
        if not removal.found:
            raise ManifestUnknown(detail={"name": str(repository.name), "digest": str(digest)})
        await self._ports.names.drop_if_empty(repository)

    async def delete_blob(self, repository: Repository, digest: Digest) -> None:
        """The repository serves it no more; others may. Raises OCIError."""
        removal = await self._ports.facts.unlink_blob(repository, digest)
        _refuse_if_needed(f"blob {digest}", "manifest", removal)
        if not removal.found:
            raise BlobUnknown(detail={"name": str(repository.name), "digest": str(digest)})

    def _plan(self, pushed: PushedManifest, manifest: Manifest, references: References) -> Push:
        own = (pushed.reference,) if isinstance(pushed.reference, Tag) else ()
        tags = tuple(dict.fromkeys((*own, *pushed.tags)))
        immutable = self._ports.immutable
        return Push(
            repository=pushed.repository,
            descriptor=manifest.descriptor,
            references=references,
            tags=tags,
            immutable=frozenset(t for t in tags if immutable.pattern_for(pushed.repository, t)),
            lender=pushed.lender,
            pushed_at=self._ports.clock.now(),
        )

    async def _record(self, push: Push, content: bytes, depth: int = 0) -> None:
        """Raises Denied, Unavailable and ContentMissing."""
        outcome = await self._keep(push, content)
        if outcome.missing and await self._borrow(push, outcome.missing, depth):
            outcome = await self._keep(push, content)
        if outcome.missing:
            raise ContentMissing(_missing(push, outcome.missing))
        if outcome.immovable:
            raise self._immovable(push, outcome.immovable[0])
        self._ports.held.remember(push.descriptor.digest, content)
        self._ports.names.add(push.repository)

    async def _borrow(self, push: Push, missing: tuple[Descriptor, ...], depth: int) -> bool:
        """Take children over from the lender, as blobs are: before there was anything to pull in
        the repository, clients heard of the lender's. Whether there were any.
        """
        if push.lender is None or depth == DEEPEST:
            return False
        borrowed = False
        for part in missing:
            manifest = await self._ports.held.get(push.lender, part.digest)
            references = None if manifest is None else _references(manifest)
            if manifest is None or references is None:
                continue
            child = replace(
                push,
                descriptor=manifest.descriptor,
                references=references,
                tags=(),
                immutable=frozenset(),
            )
            await self._record(child, manifest.content, depth + 1)
            borrowed = True
        return borrowed

    async def _keep(self, push: Push, content: bytes) -> PushOutcome:
        ports, digest = self._ports, push.descriptor.digest
        async with ports.custody.arriving(digest):
            try:
                await ports.store.put(digest, content)
            except StorageFull as error:
                raise Unavailable(
                    f"there is no room for a manifest, nothing was stored: {error}",
                    retry_after=FULL,
                ) from error
            async with self._alone(push.repository):
                return await ports.facts.push_manifest(push)

    @asynccontextmanager
    async def _alone(self, repository: Repository) -> AsyncIterator[None]:
        """Between looking which tags a manifest has and removing it, it gets no other."""
        if not self._ports.immutable:
            yield
            return
        lock = self._locks.setdefault(repository, asyncio.Lock())
        async with lock:
            yield

    async def _refuse_if_held(self, repository: Repository, digest: Digest) -> None:
        """Raises Denied when an immutable tag is on the manifest."""
        after: Tag | None = None
        while self._ports.immutable:
            page = await self._ports.facts.list_tags(repository, after, STEP)
            for tag in page:
                pattern = self._ports.immutable.pattern_for(repository, tag)
                if pattern is not None and await self._points_at(repository, tag, digest):
                    raise _is_immutable(repository, tag, pattern, "deleted")
            if len(page) < STEP:
                return
            after = page[-1]

    async def _points_at(self, repository: Repository, tag: Tag, digest: Digest) -> bool:
        record = await self._ports.facts.get_tag(repository, tag)
        return record is not None and record.descriptor.digest == digest

    def _immovable(self, push: Push, tag: Tag) -> Denied:
        pattern = self._ports.immutable.pattern_for(push.repository, tag)
        return _is_immutable(push.repository, tag, pattern or "", "moved")


def _judge(pushed: PushedManifest) -> tuple[Manifest, References]:
    """The manifest as it is to be stored, and what it refers to. Pure; raises OCIError."""
    media_type = check_manifest(pushed.content, pushed.content_type)
    reference = pushed.reference
    algorithm = reference.algorithm if isinstance(reference, Digest) else "sha256"
    digest = digest_of(pushed.content, algorithm)
    if isinstance(reference, Digest) and digest != reference:
        raise DigestInvalid(
            f"the manifest was pushed as {reference}, but its {len(pushed.content)} bytes are"
            f" {digest}",
            detail={"expected": str(reference), "actual": str(digest)},
        )
    manifest = Manifest(media_type, digest, pushed.content)
    return manifest, check_references(manifest)


def _references(manifest: Manifest) -> References | None:
    """``None`` when nobody could push it: upstreams have more than that."""
    try:
        return check_references(manifest)
    except ManifestInvalid:
        return None


def _missing(push: Push, missing: tuple[Descriptor, ...]) -> tuple[ManifestBlobUnknown, ...]:
    children = {child.digest for child in push.references.manifests}
    return tuple(
        ManifestBlobUnknown(
            f"{'manifest' if part.digest in children else 'blob'} {part.digest} is not in"
            f" {push.repository.name}: push it first",
            detail={
                "digest": str(part.digest),
                "mediaType": part.media_type,
                "size": part.size,
            },
        )
        for part in missing
    )


def _refuse_if_needed(what: str, by: str, removal: Removal) -> None:
    if removal.needed_by:
        raise Denied(
            f"{what} is needed by {by} {removal.needed_by[0]}: delete that first",
            detail={"needed_by": [str(digest) for digest in removal.needed_by]},
        )


def _is_immutable(repository: Repository, tag: Tag, pattern: str, verb: str) -> Denied:
    way_out = "use another tag" if verb == "moved" else "change that first"
    return Denied(
        f"tag {repository.name}:{tag} cannot be {verb}, {pattern} in hosted.immutable_tags holds"
        f" it: {way_out}",
        detail={"name": str(repository.name), "tag": tag.value, "pattern": pattern},
    )
