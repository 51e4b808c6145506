"""What every metadata store promises about last use and counters."""

from mirror.ports.metadata import MetadataStore, Use
from tests.conformance.metadata import (
    HOSTED,
    NGINX,
    REDIS,
    at,
    blob,
    digest,
    idle_blobs,
    idle_manifests,
    index,
    index_of,
    layer,
    manifest,
    put_image,
    use,
)


async def last_uses(store: MetadataStore) -> dict[str, float]:
    """Seconds by what was used, as eviction sees it; names are those of this module."""
    names = {digest(name): name for name in ("i", "outer", "m", "c", "d", "a", "b")}
    of_manifests = {
        f"{entry.repository.name.components[-1]} {names[entry.descriptor.digest]}": (
            entry.last_used_at - at(0)
        ).total_seconds()
        for entry in await idle_manifests(store)
    }
    of_blobs = {
        names[entry.blob.digest]: (entry.last_used_at - at(0)).total_seconds()
        for entry in await idle_blobs(store)
    }
    return of_manifests | of_blobs


async def test_storing_is_a_use(metadata: MetadataStore) -> None:
    await metadata.put_manifest(NGINX, manifest("m"), None, at(1.000001))
    await metadata.put_blob(NGINX, blob(layer("a")), at(2))

    assert await last_uses(metadata) == {"nginx m": 1.000001, "a": 2}


async def test_storing_again_is_a_use_and_never_goes_back(metadata: MetadataStore) -> None:
    for seconds in (5, 9, 7):
        await metadata.put_manifest(NGINX, manifest("m"), None, at(seconds))
        await metadata.put_blob(NGINX, blob(layer("a")), at(seconds))

    assert await last_uses(metadata) == {"nginx m": 9, "a": 9}


async def test_a_use_moves_forward_and_never_back(metadata: MetadataStore) -> None:
    await metadata.put_manifest(NGINX, manifest("m"), None, at(1))
    await metadata.put_blob(NGINX, blob(layer("a")), at(1))

    for seconds in (5, 9, 7):
        await metadata.record_uses(
            {Use(NGINX, digest("m")): at(seconds), Use(None, digest("a")): at(seconds)}
        )

    assert await last_uses(metadata) == {"nginx m": 9, "a": 9}


async def test_a_use_is_of_one_repository(metadata: MetadataStore) -> None:
    for repository in (NGINX, REDIS):
        await metadata.put_manifest(repository, manifest("m"), None, at(1))

    await use(metadata, digest("m"), 5, by=NGINX)

    assert await last_uses(metadata) == {"nginx m": 5, "redis m": 1}


async def test_the_use_of_an_index_is_a_use_of_all_below_it(metadata: MetadataStore) -> None:
    for repository in (NGINX, REDIS):
        await metadata.put_manifest(repository, manifest("c"), None, at(1))
    await metadata.put_manifest(NGINX, manifest("d"), None, at(20))
    await metadata.put_manifest(NGINX, manifest("m"), None, at(1))
    await metadata.put_manifest(
        NGINX, index("i"), index_of(manifest("c"), manifest("d"), manifest("absent")), at(1)
    )
    await metadata.put_manifest(NGINX, index("outer"), index_of(index("i")), at(1))

    await use(metadata, digest("outer"), 5, by=NGINX)

    assert await last_uses(metadata) == {
        "nginx outer": 5,
        "nginx i": 5,
        "nginx c": 5,
        "nginx d": 20,
        "nginx m": 1,
        "redis c": 1,
    }


async def test_the_use_of_a_child_is_no_use_of_the_index(metadata: MetadataStore) -> None:
    await metadata.put_manifest(NGINX, manifest("c"), None, at(1))
    await metadata.put_manifest(NGINX, index("i"), index_of(manifest("c")), at(1))

    await use(metadata, digest("c"), 5, by=NGINX)

    assert await last_uses(metadata) == {"nginx i": 1, "nginx c": 5}


async def test_the_use_of_a_manifest_is_no_use_of_its_blobs(metadata: MetadataStore) -> None:
    await put_image(metadata, NGINX, "m", [layer("a")], 1)
    await use(metadata, digest("m"), 5, by=NGINX)

    await metadata.delete_manifest(NGINX, digest("m"))

    assert await last_uses(metadata) == {"a": 1, "m": 1}


async def test_an_index_that_holds_itself_ends_somewhere(metadata: MetadataStore) -> None:
    """No digest allows it, but a table does."""
    await metadata.put_manifest(NGINX, index("i"), index_of(index("outer"), index("i")), at(1))
    await metadata.put_manifest(NGINX, index("outer"), index_of(index("i")), at(1))

    await use(metadata, digest("i"), 5, by=NGINX)

    assert await last_uses(metadata) == {"nginx i": 5, "nginx outer": 5}


async def test_uses_of_what_is_not_there_are_passed_over(metadata: MetadataStore) -> None:
    await metadata.put_manifest(HOSTED, manifest("m"), None, at(1))

    await metadata.record_uses(
        {
            Use(NGINX, digest("m")): at(5),
            Use(None, digest("absent")): at(5),
            Use(HOSTED, digest("m")): at(5),
        }
    )
    await metadata.record_uses({})

    assert await last_uses(metadata) == {}
    assert await metadata.get_stored(digest("absent")) is None


async def test_counters_add_up(metadata: MetadataStore) -> None:
    assert await metadata.load_counters() == {}

    await metadata.add_counters({"requests|hit": 1, "bytes": 2**53})
    await metadata.add_counters({"requests|hit": 2, "requests|miss": 1})
    await metadata.add_counters({})

    expected = {"requests|hit": 3, "requests|miss": 1, "bytes": 2**53}
    assert await metadata.load_counters() == expected
