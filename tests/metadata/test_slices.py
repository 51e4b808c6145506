"""More rows than are looked at in one go: what is dead among them is found all the same."""

from pathlib import Path

import pytest

from mirror.metadata.blobs import put_blob
from mirror.metadata.last_use import SLICE
from mirror.metadata.sql import open_sqlite
from mirror.metadata.stale_links import BEFORE_ALL, list_stale_links, remove_links
from mirror.ports.metadata import BlobRecord
from tests.conformance.metadata import NGINX, at, digest, image_of, layer, manifest
from tests.conformance.pushing import APP, collect_links, layers_of, pushed
from tests.metadata.test_query_plans import connected

NAMES = sorted((f"b{number}" for number in range(2 * SLICE + 100)), key=lambda n: str(digest(n)))
DEAD = (NAMES[0], NAMES[SLICE - 1], NAMES[SLICE], NAMES[SLICE + 1], NAMES[-1])


async def test_the_dead_are_found_in_every_slice(path: Path) -> None:
    """Proxied blobs, and a few that were pushed for nothing, in between."""
    store = await open_sqlite(path)
    with connected(path) as connection:
        for name in NAMES:
            repository = APP if name in DEAD else NGINX
            put_blob(connection, repository, BlobRecord(digest(name), 1), at(0))
        connection.commit()

    for start, limit in ((0, 1), (0, 3), (0, 100), (2, 2), (2, 100), (5, 1)):
        after = digest(DEAD[start - 1]) if start else None
        found = await store.list_dead_blobs(at(1), after, limit)
        expected = [digest(name) for name in DEAD[start : start + limit]]
        assert [entry.blob.digest for entry in found] == expected
    await store.close()


@pytest.mark.parametrize("limit", [1, 2, 100])
async def test_stale_links_are_found_in_every_slice(path: Path, limit: int) -> None:
    """Nearly all were linked at the same moment."""
    store = await open_sqlite(path)
    layers = layers_of(*NAMES)
    await store.put_manifest(APP, manifest("m"), image_of(*layers), at(0))
    for name in (*DEAD[:2], "never needed"):
        await store.link_blob(APP, digest(f"stale {name}"))
    await store.put_blob(APP, BlobRecord(digest("amid the others"), 1), at(0))
    await store.put_blob(APP, BlobRecord(digest("late"), 1), at(5))

    count, after = await store.collect_links(at(5), None, limit)
    counts = [count]
    while after is not None:
        count, after = await store.collect_links(at(5), after, limit)
        counts.append(count)

    assert sum(counts) == 5
    assert max(counts) == min(limit, 3), "those of one slice"
    assert len(counts) == 3 or limit < 3, "each slice is looked at once"
    assert await collect_links(store, at(5), limit) == 0
    await store.close()


async def test_a_link_that_is_wanted_again_after_it_was_found_stays(path: Path) -> None:
    store = await open_sqlite(path)
    for name in ("renewed", "needed", "stale"):
        await store.put_blob(APP, BlobRecord(digest(name), 100), at(0))
    with connected(path) as connection:
        found, _ = list_stale_links(connection, at(5), BEFORE_ALL, 10)
        assert len(found) == 3
        connection.rollback()

        await store.renew_link(APP, digest("renewed"), at(6))
        await store.push_manifest(pushed(manifest("m"), image_of(layer("needed")), seconds=1))

        assert remove_links(connection, found, at(5)) == 1
        connection.commit()
    assert await store.get_blob(APP, digest("stale")) is None
    assert await store.get_blob(APP, digest("renewed"))
    assert await store.get_blob(APP, digest("needed"))
    await store.close()
