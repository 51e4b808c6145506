"""Facts on a disk that is full: what is there can be read, and nothing can be written."""

from datetime import datetime

from mirror.metadata.memory import MemoryMetadata
from mirror.oci.digest import Digest
from mirror.oci.manifest import Descriptor, References
from mirror.oci.reference import Tag
from mirror.ports.metadata import BlobRecord, MetadataError, TagRecord
from mirror.ports.repository import Repository


class FullFacts(MemoryMetadata):
    """As ``MemoryMetadata`` while ``is_full`` is false."""

    def __init__(self) -> None:
        super().__init__()
        self.is_full = False

    async def put_tag(self, repository: Repository, tag: Tag, record: TagRecord) -> None:
        self._check()
        await super().put_tag(repository, tag, record)

    async def delete_tag(self, repository: Repository, tag: Tag) -> bool:
        self._check()
        return await super().delete_tag(repository, tag)

    async def put_manifest(
        self,
        repository: Repository,
        descriptor: Descriptor,
        references: References | None,
        stored_at: datetime,
    ) -> None:
        self._check()
        await super().put_manifest(repository, descriptor, references, stored_at)

    async def put_blob(self, repository: Repository, blob: BlobRecord, stored_at: datetime) -> None:
        self._check()
        await super().put_blob(repository, blob, stored_at)

    async def link_blob(self, repository: Repository, digest: Digest) -> None:
        self._check()
        await super().link_blob(repository, digest)

    async def forget_blob(self, digest: Digest) -> bool:
        self._check()
        return await super().forget_blob(digest)

    def _check(self) -> None:
        if self.is_full:
            raise MetadataError("the database is full")
