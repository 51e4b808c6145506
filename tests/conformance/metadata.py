"""The adapters that the metadata suite is run over, and a small world of content for it.

A new adapter is one more line in ``ADAPTERS``; the claims are in the ``test_metadata_*`` modules.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from mirror.metadata.cached import CachedMetadata, CacheSizes
from mirror.metadata.memory import MemoryMetadata
from mirror.metadata.sql import open_sqlite
from mirror.oci.digest import Digest, digest_of
from mirror.oci.manifest import Descriptor, Platform, References
from mirror.oci.media_type import OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST
from mirror.oci.reference import RepositoryName, Tag
from mirror.ports.hosting import Facts
from mirror.ports.metadata import (
    BlobRecord,
    Cursor,
    IdleBlob,
    IdleManifest,
    ImageSummary,
    MetadataStore,
    TagRecord,
    Use,
)
from mirror.ports.repository import Repository

T = TypeVar("T")

NGINX = Repository("docker.io", RepositoryName("library/nginx"))
REDIS = Repository("docker.io", RepositoryName("library/redis"))
NGINX_ELSEWHERE = Repository("ghcr.io", RepositoryName("library/nginx"))
HOSTED = Repository(None, RepositoryName("library/nginx"))

LATEST = Tag("latest")
STABLE = Tag("stable")

AMD64 = Platform("linux", "amd64")
ARM = Platform("linux", "arm", "v7")
ATTESTATION = Platform("unknown", "unknown")

# Tight, so that facts are dropped for want of room too.
_TINY = CacheSizes(tags=2, manifests=2, blobs=2, linked_sizes=2)


@asynccontextmanager
async def open_memory(_folder: Path) -> AsyncIterator[Facts]:
    store = MemoryMetadata()
    yield store
    await store.close()


@asynccontextmanager
async def open_sql(folder: Path) -> AsyncIterator[Facts]:
    store = await open_sqlite(folder / "metadata.db")
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def open_cached_memory(folder: Path) -> AsyncIterator[Facts]:
    async with open_memory(folder) as store:
        yield CachedMetadata(store)


@asynccontextmanager
async def open_cached_sql(folder: Path) -> AsyncIterator[Facts]:
    async with open_sql(folder) as store:
        cached = CachedMetadata(store, _TINY)
        yield cached
        await cached.close()


Open = Callable[[Path], AbstractAsyncContextManager[Facts]]

ADAPTERS: dict[str, Open] = {
    "memory": open_memory,
    "sql": open_sql,
    "cached memory": open_cached_memory,
    "cached sql": open_cached_sql,
}


def at(seconds: float) -> datetime:
    return datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC) + timedelta(seconds=seconds)


def digest(name: str) -> Digest:
    return digest_of(name.encode())


def layer(name: str, size: int = 100) -> Descriptor:
    return Descriptor(OCI_LAYER_GZIP, digest(name), size)


def manifest(name: str, size: int = 10) -> Descriptor:
    return Descriptor(OCI_MANIFEST, digest(name), size)


def index(name: str, size: int = 5) -> Descriptor:
    return Descriptor(OCI_INDEX, digest(name), size)


def child(of: Descriptor, platform: Platform | None) -> Descriptor:
    return Descriptor(of.media_type, of.digest, of.size, platform)


def image_of(*layers: Descriptor) -> References:
    return References((), layers, None)


def index_of(*children: Descriptor) -> References:
    return References(children, (), None)


def blob(of: Descriptor) -> BlobRecord:
    return BlobRecord(of.digest, of.size)


def tagged(descriptor: Descriptor, seconds: float = 0) -> TagRecord:
    return TagRecord(descriptor, at(seconds))


async def put_image(
    store: MetadataStore,
    repository: Repository,
    name: str,
    layers: Sequence[Descriptor],
    seconds: float = 0,
) -> Descriptor:
    """A whole image: its manifest and all of its layers stored."""
    await store.put_manifest(repository, manifest(name), image_of(*layers), at(seconds))
    for part in layers:
        await store.put_blob(repository, blob(part), at(seconds))
    return manifest(name)


async def use(store: MetadataStore, used: Digest, seconds: float, by: Repository | None) -> None:
    await store.record_uses({Use(by, used): at(seconds)})


Page = Callable[[Cursor | None, int], Awaitable[tuple[Sequence[T], Cursor | None]]]


async def all_pages(list_page: Page[T], limit: int = 100) -> list[T]:
    found, cursor = await list_page(None, limit)
    everything = list(found)
    while cursor is not None:
        found, cursor = await list_page(cursor, limit)
        assert len(found) <= limit
        everything += found
    return everything


async def idle_manifests(store: MetadataStore, limit: int = 100) -> list[IdleManifest]:
    return await all_pages(store.list_idle_manifests, limit)


async def idle_blobs(store: MetadataStore, limit: int = 100) -> list[IdleBlob]:
    return await all_pages(store.list_idle_blobs, limit)


async def images(
    store: MetadataStore, repository: Repository | None = None, limit: int = 100
) -> list[ImageSummary]:
    found, key = await store.list_images(repository, None, limit)
    everything = list(found)
    while key is not None:
        found, key = await store.list_images(repository, key, limit)
        assert len(found) <= limit
        everything += found
    return everything
