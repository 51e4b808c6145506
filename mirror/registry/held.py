"""Manifests that are here: facts from the metadata, bytes from the store, both kept in memory."""

import functools
import logging
from typing import Protocol

from cachetools import LRUCache

from mirror.flight import SingleFlight
from mirror.oci.digest import Digest
from mirror.oci.manifest import MANIFEST_LIMIT, Manifest, parse_references
from mirror.oci.media_type import is_schema1
from mirror.oci.reference import Tag
from mirror.ports.blobs import BlobStore, DigestMismatch, StorageBusy, StorageError
from mirror.ports.clock import Clock
from mirror.ports.metadata import (
    BlobLinks,
    ManifestStore,
    MetadataError,
    QuickFacts,
    TagRecord,
    Use,
)
from mirror.ports.repository import Repository
from mirror.registry.custody import Custody
from mirror.registry.usage import Usage

log = logging.getLogger(__name__)

MEMORY = 64 * 1024 * 1024
"""Bytes of manifests kept in memory."""


class Facts(ManifestStore, BlobLinks, Protocol):
    """The two stores a manifest is recorded in."""


class HeldManifests:
    """Get, keep and forget. The bytes in memory are keyed by digest, so they are never stale."""

    def __init__(
        self,
        store: BlobStore,
        facts: Facts,
        quick: QuickFacts,
        custody: Custody,
        clock: Clock,
        usage: Usage,
    ) -> None:
        self._store = store
        self._facts = facts
        self._quick = quick
        self._custody = custody
        self._clock = clock
        self._usage = usage
        self._contents: LRUCache[Digest, bytes] = LRUCache(MEMORY, getsizeof=len)
        self._reads: SingleFlight[Digest, bytes | None] = SingleFlight(
            lambda: StorageError("the server is stopping")
        )

    def peek_tag(self, repository: Repository, tag: Tag) -> TagRecord | None:
        return self._quick.peek_tag(repository, tag)

    def peek(self, repository: Repository, digest: Digest) -> Manifest | None:
        """The manifest, if facts and bytes are in memory. Counts as a use."""
        descriptor = self._quick.peek_manifest(repository, digest)
        content = self._contents.get(digest) if descriptor is not None else None
        if descriptor is None or content is None:
            return None
        self._usage.touch(Use(repository, digest))
        return Manifest(descriptor.media_type, digest, content)

    async def get(self, repository: Repository, digest: Digest) -> Manifest | None:
        """The manifest, if the repository has it and its bytes are sound. Counts as a use.

        Raises StorageBusy when that cannot be told just now.
        """
        descriptor = await self._facts.get_manifest(repository, digest)
        if descriptor is None:
            return None
        content = self._contents.get(digest)
        if content is None:
            content = await self._reads.run(digest, functools.partial(self._read, digest))
        if content is None:
            return None
        self._usage.touch(Use(repository, digest))
        return Manifest(descriptor.media_type, digest, content)

    async def keep(self, repository: Repository, manifest: Manifest) -> None:
        """Store it and record what it needs. What fails there costs the copy, not the answer.

        Schema 1 is served and not kept: its digest is not that of its bytes.
        """
        if is_schema1(manifest.media_type):
            return
        try:
            await self._record(repository, manifest)
        except (StorageError, MetadataError) as error:
            log.warning("%s of %s could not be kept: %s", manifest.digest, repository, error)
            return
        self.remember(manifest.digest, manifest.content)
        self._usage.touch(Use(repository, manifest.digest))

    async def close(self) -> None:
        await self._reads.close()

    async def _record(self, repository: Repository, manifest: Manifest) -> None:
        references = parse_references(manifest)
        async with self._custody.arriving(manifest.digest):
            await self._store.put(manifest.digest, manifest.content)
            await self._facts.put_manifest(
                repository, manifest.descriptor, references, self._clock.now()
            )

    async def _read(self, digest: Digest) -> bytes | None:
        """From the store, verified. Bytes that rotted are set aside and fetched again.

        What is there and cannot be opened for the moment is not asked of the upstream: that would
        cost a pull.
        """
        try:
            content = await self._store.read(digest, MANIFEST_LIMIT)
        except DigestMismatch as error:
            log.error("manifest %s is damaged on disk: %s", digest, error)  # noqa: TRY400 - the place is known, the trace says nothing
            await self._set_aside(digest, str(error))
            return None
        except StorageBusy:
            raise
        except StorageError as error:
            log.warning("manifest %s could not be read: %s", digest, error)
            return None
        if content is not None:
            self.remember(digest, content)
        return content

    async def _set_aside(self, digest: Digest, reason: str) -> None:
        """The row first: who finds the file gone fetches it again, and records it anew."""
        try:
            with self._custody.leaving([digest]) as free:
                if free:
                    await self._facts.forget_blob(digest)
                    await self._store.quarantine(digest, reason)
        except (MetadataError, StorageError) as error:
            log.warning("manifest %s could not be set aside: %s", digest, error)

    def remember(self, digest: Digest, content: bytes) -> None:
        """Bytes that are stored."""
        if len(content) <= MEMORY:
            self._contents[digest] = content
