"""Facts about a million blobs: how long opening, scanning and evicting take, and who waits.

    python -m bench.metadata_million [FOLDER]

builds two files (some 2 GB), one whose blobs are all needed by manifests and one whose blobs
nobody needs, and prints figures. The parts are here for the other benchmarks to use.
"""

import asyncio
import hashlib
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from mirror.metadata.sql import SqlMetadata, open_sqlite
from mirror.oci.digest import parse_digest
from mirror.oci.manifest import Descriptor
from mirror.oci.reference import RepositoryName, Tag
from mirror.ports.metadata import MetadataStore, TagRecord
from mirror.ports.repository import Repository

MILLION = 1_000_000
LAYERS = 10
REPOSITORIES = 1000
ARRIVAL = 7919
"""Coprime with the number of images, so that those used one after the other did not come so."""
START = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
LATER = datetime(2030, 1, 1, tzinfo=UTC)
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"

MANIFESTS_PAGE = 50
BLOBS_PAGE = 1000
"""How many entries a caller asks for at a time, so that its event loop stays free."""


@dataclass(slots=True)
class Waits:
    """Milliseconds that small questions and small writes took."""

    reads: list[float] = field(default_factory=list)
    writes: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        return f"read {_spread(self.reads)}; write {_spread(self.writes)}"


def _spread(values: list[float]) -> str:
    if len(values) < 2:
        return "too few"
    cuts = statistics.quantiles(values, n=100)
    return f"p50 {cuts[49]:.1f}, p99 {cuts[98]:.1f}, longest {max(values):.1f} ms of {len(values)}"


def digest_text(kind: str, number: int) -> str:
    return "sha256:" + hashlib.sha256(f"{kind} {number}".encode()).hexdigest()


def repository(number: int) -> Repository:
    return Repository("docker.io", RepositoryName(f"library/r{number % REPOSITORIES}"))


async def build(path: Path, blobs: int = MILLION, *, are_needed: bool = True) -> None:
    """A file with that many blobs, manifests counted: behind the back of the store, for speed."""
    await (await open_sqlite(path)).close()
    await asyncio.to_thread(_fill, path, blobs, are_needed)


def _fill(path: Path, blobs: int, are_needed: bool) -> None:  # noqa: FBT001 - the caller names it
    images = blobs // (LAYERS + 1) if are_needed else 0
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA cache_size=-500000")
        connection.executemany(
            "INSERT INTO repositories VALUES (?, 'docker.io', ?)",
            ((number + 1, str(repository(number).name)) for number in range(REPOSITORIES)),
        )
        connection.executemany("INSERT INTO digests VALUES (?, ?)", _digests(images, blobs))
        connection.executemany("INSERT INTO blobs VALUES (?, ?, ?, ?)", _blobs(images, blobs))
        connection.executemany("INSERT INTO blob_links VALUES (?, ?, 0)", _links(images, blobs))
        connection.executemany(
            "INSERT INTO manifests VALUES (?, ?, ?, ?, ?, ?, ?)", _manifests(images)
        )
        connection.executemany("INSERT INTO tags VALUES (?, ?, ?, ?, ?, ?)", _tags(images))
        connection.executemany(
            "INSERT INTO manifest_references VALUES (?, ?, ?, ?, ?, ?, NULL)", _references(images)
        )


def _digests(images: int, blobs: int) -> Iterator[tuple[object, ...]]:
    """In the order of their texts: much faster than as they come."""
    for number, text in sorted(enumerate(map(_blob_text, range(blobs))), key=lambda pair: pair[1]):
        yield _id(number, images), text


def _blobs(images: int, blobs: int) -> Iterator[tuple[object, ...]]:
    for number in range(blobs):
        used = START + number * 1000
        yield _id(number, images), 1_000_000 + number, used, used


def _id(blob: int, images: int) -> int:
    """Images came whole, each manifest with its layers, in another order than they were used."""
    if blob >= images * (LAYERS + 1):
        return blob + 1
    image, part = (blob, 0) if blob < images else divmod(blob - images, LAYERS)
    return image * ARRIVAL % images * (LAYERS + 1) + (part + 1 if blob >= images else 0) + 1


def _blob_text(number: int) -> str:
    return digest_text("blob", number)


def _links(images: int, blobs: int) -> Iterator[tuple[object, ...]]:
    """The first blobs are the manifests themselves, which are not linked."""
    ids = ((_id(number, images), number) for number in range(images, blobs))
    for identity, number in sorted(ids):
        yield identity, _image_of(number, images) % REPOSITORIES + 1


def _image_of(blob: int, images: int) -> int:
    return (blob - images) // LAYERS if images else blob


def _manifests(images: int) -> Iterator[tuple[object, ...]]:
    for number in range(images):
        used = START + number * 1000
        owner = number % REPOSITORIES + 1
        yield number + 1, owner, _blob_text(number), MANIFEST, 1_000_000 + number, used, used


def _tags(images: int) -> Iterator[tuple[object, ...]]:
    for number in range(images):
        owner = number % REPOSITORIES + 1
        yield owner, f"t{number}", _blob_text(number), MANIFEST, 1_000_000 + number, START


def _references(images: int) -> Iterator[tuple[object, ...]]:
    for number in range(images):
        owner = number % REPOSITORIES + 1
        yield number + 1, "self", _id(number, images), owner, 1_000_000 + number, MANIFEST
        for part in range(LAYERS):
            blob = images + number * LAYERS + part
            if blob % 20 == 0:  # a base that a hundred images share
                blob = images + number // 100 * 100 * LAYERS
            yield number + 1, "blob", _id(blob, images), owner, 1_000_000 + blob, LAYER


@asynccontextmanager
async def waiting(store: MetadataStore) -> AsyncIterator[Waits]:
    """How long others wait while something goes on."""
    waits = Waits()
    probes = [
        asyncio.create_task(_probe(waits.reads, lambda: _read(store), 0.005)),
        asyncio.create_task(_probe(waits.writes, lambda: _write(store), 0.02)),
    ]
    try:
        yield waits
    finally:
        for probe in probes:
            probe.cancel()
        await asyncio.gather(*probes, return_exceptions=True)


async def _probe(waits: list[float], ask: Callable[[], Awaitable[object]], every: float) -> None:
    while True:
        await asyncio.sleep(every)
        start = time.perf_counter()
        await ask()
        waits.append((time.perf_counter() - start) * 1000)


async def _read(store: MetadataStore) -> object:
    return await store.get_blob(repository(7), parse_digest(_blob_text(77_777)))


async def _write(store: MetadataStore) -> None:
    descriptor = Descriptor(MANIFEST, parse_digest(_blob_text(1)), 1)
    await store.put_tag(repository(7), Tag("probe"), TagRecord(descriptor, LATER))


async def scan_manifests(store: MetadataStore) -> int:
    count, cursor = 0, None
    while True:
        found, cursor = await store.list_idle_manifests(cursor, MANIFESTS_PAGE)
        count += len(found)
        if cursor is None:
            return count


async def scan_blobs(store: MetadataStore) -> int:
    count, cursor = 0, None
    while True:
        found, cursor = await store.list_idle_blobs(cursor, BLOBS_PAGE)
        count += len(found)
        if cursor is None:
            return count


async def evict_images(store: MetadataStore, most: int) -> int:
    """The oldest images with all their blobs, page by page; how many blobs went."""
    gone = 0
    for _ in range(most // MANIFESTS_PAGE):
        idle, _ = await store.list_idle_manifests(None, MANIFESTS_PAGE)
        digests = {blob.digest for entry in idle for blob, _ in entry.blobs}
        gone += len(await store.evict(idle, tuple(digests), LATER))
    return gone


async def evict_blobs(store: MetadataStore, most: int) -> int:
    gone = 0
    for _ in range(most // BLOBS_PAGE):
        idle, _ = await store.list_idle_blobs(None, BLOBS_PAGE)
        gone += len(await store.evict([], [entry.blob.digest for entry in idle], LATER))
    return gone


async def _report(what: str, store: SqlMetadata, work: Callable[[], Awaitable[object]]) -> None:
    async with waiting(store) as waits:
        start, busy = time.perf_counter(), time.process_time()
        result = await work()
        took, busy = time.perf_counter() - start, time.process_time() - busy
    print(f"{what}: {took:.2f} s, processor {busy:.2f} s -> {result}")
    print(f"    meanwhile {waits}", flush=True)


async def measure(path: Path) -> None:
    start = time.perf_counter()
    store = await open_sqlite(path)
    opened = time.perf_counter()
    await _read(store)
    answered = time.perf_counter()
    size = path.stat().st_size >> 20
    print(
        f"{path.name}, {size} MiB: open {1000 * (opened - start):.0f} ms,"
        f" first answer {1000 * (answered - opened):.1f} ms"
    )
    try:
        await _report("idle for 2 s", store, lambda: asyncio.sleep(2))
        await _report("totals", store, store.totals)
        await _report("first page of images", store, lambda: _first_images(store))
        await _report("scan of manifests", store, lambda: scan_manifests(store))
        await _report("scan of blobs", store, lambda: scan_blobs(store))
        await _report("eviction of 10 000 images", store, lambda: evict_images(store, 10_000))
        await _report("eviction of 100 000 blobs", store, lambda: evict_blobs(store, 100_000))
    finally:
        await store.close()


async def _first_images(store: MetadataStore) -> int:
    found, _ = await store.list_images(None, None, 100)
    return len(found)


async def main(folder: Path) -> None:
    for name, are_needed in (("needed", True), ("orphaned", False)):
        path = folder / f"{name}.db"
        start = time.perf_counter()
        await build(path, are_needed=are_needed)
        print(f"built in {time.perf_counter() - start:.0f} s")
        await measure(path)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(main(Path(sys.argv[1])))
    else:
        with tempfile.TemporaryDirectory(prefix="mirror-bench-") as temporary:
            asyncio.run(main(Path(temporary)))
