"""Manifests of hosted repositories, by tag and by digest: from memory or the store, never from
anywhere else.
"""

from typing import Protocol

from mirror.oci.digest import Digest
from mirror.oci.errors import ManifestUnknown, NameUnknown, OCIError, Unknown
from mirror.oci.manifest import Manifest
from mirror.oci.reference import Reference, Tag
from mirror.ports.metadata import ManifestStore, TagStore
from mirror.ports.repository import Repository
from mirror.registry.answer import Handling, ManifestAnswer
from mirror.registry.held import HeldManifests
from mirror.registry.hosted_names import HostedNames
from mirror.registry.statistics import Result

HOSTED = Handling(Result.HOSTED)


class HostedContent(ManifestStore, TagStore, Protocol):
    """What is asked here."""


class HostedManifests:
    """Resolve and get."""

    def __init__(self, names: HostedNames, held: HeldManifests, facts: HostedContent) -> None:
        self._names = names
        self._held = held
        self._facts = facts

    def peek(self, repository: Repository, reference: Reference) -> ManifestAnswer | None:
        """What can be answered from memory without waiting for anything."""
        digest = reference
        if isinstance(digest, Tag):
            record = self._held.peek_tag(repository, digest)
            if record is None:
                return None
            digest = record.descriptor.digest
        manifest = self._held.peek(repository, digest)
        return None if manifest is None else _answer(repository, manifest)

    async def get(self, repository: Repository, digest: Digest) -> ManifestAnswer:
        """The manifest of a digest. Raises NameUnknown, ManifestUnknown, and Unknown when it is
        damaged.
        """
        manifest = await self._held.get(repository, digest)
        if manifest is None:
            await self._refuse_if_damaged(repository, digest)
            raise self._unknown(repository, "digest", digest)
        return _answer(repository, manifest)

    async def resolve(self, repository: Repository, tag: Tag) -> ManifestAnswer:
        """What a tag points at. Raises as ``get`` does."""
        seen: Digest | None = None
        while (record := await self._facts.get_tag(repository, tag)) is not None:
            digest = record.descriptor.digest
            manifest = await self._held.get(repository, digest)
            if manifest is not None:
                return _answer(repository, manifest)
            if digest == seen:
                await self._refuse_if_damaged(repository, digest)
                break
            # It may have been deleted since the tag was read, and the tag with it or moved before.
            seen = digest
        raise self._unknown(repository, "tag", tag)

    def _unknown(self, repository: Repository, kind: str, reference: Reference) -> OCIError:
        detail = {"name": str(repository.name), kind: str(reference)}
        if not self._names.knows(repository):
            return NameUnknown(f"no repository {repository.name} here", detail)
        return ManifestUnknown(detail=detail)

    async def _refuse_if_damaged(self, repository: Repository, digest: Digest) -> None:
        """Nobody can give us these bytes again but who pushed them: a 404 would hide the loss."""
        if await self._facts.get_manifest(repository, digest) is not None:
            raise Unknown(
                f"the bytes of {digest} in {repository.name} are lost or damaged, the log of the"
                " mirror says more: push it again"
            )


def _answer(repository: Repository, manifest: Manifest) -> ManifestAnswer:
    return ManifestAnswer(repository, manifest.descriptor, manifest.content, HOSTED)
