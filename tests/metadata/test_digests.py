"""Digests get a number when they become known, and lose it when nothing knows them any more."""

import sqlite3
from contextlib import closing
from pathlib import Path

from mirror.metadata.sql import SqlMetadata
from mirror.oci.digest import Digest
from mirror.oci.manifest import References
from tests.conformance.metadata import (
    HOSTED,
    LATEST,
    NGINX,
    REDIS,
    at,
    blob,
    child,
    digest,
    idle_blobs,
    idle_manifests,
    image_of,
    index,
    index_of,
    layer,
    manifest,
    put_image,
    tagged,
)


def known(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        return {row[0] for row in connection.execute("SELECT digest FROM digests")}


def texts(*names: str) -> set[str]:
    return {str(digest(name)) for name in names}


async def evict_everything(store: SqlMetadata) -> None:
    idle = await idle_manifests(store)
    await store.evict(idle, [found.digest for entry in idle for found, _ in entry.blobs], at(99))
    await store.evict([], [entry.blob.digest for entry in await idle_blobs(store)], at(99))


async def test_what_is_evicted_is_forgotten(path: Path, store: SqlMetadata) -> None:
    await put_image(store, NGINX, "m", [layer("a"), layer("b")])
    await put_image(store, HOSTED, "h", [layer("b")])
    await store.put_tag(NGINX, LATEST, tagged(manifest("m")))
    await store.put_blob(REDIS, blob(layer("c")), at(0))

    await evict_everything(store)

    assert known(path) == texts("h", "b")


async def test_what_was_only_referred_to_is_forgotten_with_what_referred_to_it(
    path: Path, store: SqlMetadata
) -> None:
    listed = index_of(child(manifest("never stored"), None))
    about = References((), (layer("a"),), manifest("subject"))
    await store.put_manifest(NGINX, index("i"), listed, at(0))
    await store.put_manifest(NGINX, manifest("m"), about, at(0))
    assert known(path) == texts("i", "never stored", "m", "a", "subject")

    await store.delete_manifest(NGINX, digest("m"))
    assert known(path) == texts("i", "never stored", "m")

    await evict_everything(store)
    assert known(path) == set()


async def test_what_a_manifest_lists_stays_known_when_its_bytes_are_gone(
    path: Path, store: SqlMetadata
) -> None:
    await put_image(store, NGINX, "m", [layer("a")])

    assert await store.forget_blob(digest("a"))
    assert await store.forget_blob(digest("m"))

    assert known(path) == texts("m", "a")
    assert await store.linked_size(NGINX, digest("a")) == 100


async def test_bytes_that_nothing_links_are_forgotten_with_them(
    path: Path, store: SqlMetadata
) -> None:
    await store.put_manifest(NGINX, manifest("m"), None, at(0))
    await store.delete_manifest(NGINX, digest("m"))
    assert known(path) == texts("m")

    assert await store.forget_blob(digest("m"))

    assert known(path) == set()


async def test_a_number_that_is_given_again_brings_nothing_along(store: SqlMetadata) -> None:
    """SQLite gives the highest number again once its row is gone."""
    await put_image(store, NGINX, "m", [layer("a")])
    await evict_everything(store)

    names = ["b", "c", "d"]
    for name in names:
        await store.put_blob(REDIS, blob(layer(name, 7)), at(0))

    assert [await store.get_blob(NGINX, digest(name)) for name in names] == [None] * 3
    assert [await store.linked_size(NGINX, digest(name)) for name in names] == [None] * 3


async def test_more_parts_than_one_statement_takes(path: Path, store: SqlMetadata) -> None:
    layers = [layer(f"a{number}") for number in range(1234)]
    await store.put_manifest(NGINX, manifest("m"), image_of(*layers, *layers), at(0))

    found: list[Digest] = [part.digest for part in layers]
    assert known(path) == {str(name) for name in [digest("m"), *found]}
    assert await store.linked_size(NGINX, found[-1]) == 100

    await evict_everything(store)
    assert known(path) == set()
