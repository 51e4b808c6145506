"""What every metadata store promises about totals and listings of images."""

import pytest

from mirror.oci.manifest import References
from mirror.oci.reference import RepositoryName, Tag
from mirror.ports.metadata import ImageSummary, MetadataStore, Totals
from mirror.ports.repository import Repository
from tests.conformance.metadata import (
    AMD64,
    ARM,
    ATTESTATION,
    HOSTED,
    LATEST,
    NGINX,
    NGINX_ELSEWHERE,
    REDIS,
    STABLE,
    at,
    blob,
    child,
    digest,
    image_of,
    images,
    index,
    index_of,
    layer,
    manifest,
    put_image,
    tagged,
    use,
)


async def only_image(store: MetadataStore) -> ImageSummary:
    (image,) = await images(store)
    return image


async def names(store: MetadataStore, repository: Repository | None = None) -> list[str]:
    return [
        f"{image.repository}:{image.tag}" if image.tag else f"{image.repository}@"
        for image in await images(store, repository)
    ]


async def test_nothing_stored_is_nothing_in_total(metadata: MetadataStore) -> None:
    await metadata.put_tag(NGINX, LATEST, tagged(manifest("m")))
    await metadata.link_blob(NGINX, digest("a"))

    assert await metadata.totals() == Totals(
        blobs=0, bytes=0, manifests=0, repositories=0, hosted_bytes=0
    )


async def test_totals_count_each_blob_and_manifest_once(metadata: MetadataStore) -> None:
    await put_image(metadata, NGINX, "m", [layer("a", 100)])
    await put_image(metadata, HOSTED, "m", [layer("a", 100)])
    await metadata.put_manifest(NGINX, index("i", 5), index_of(manifest("m")), at(0))
    await metadata.put_blob(REDIS, blob(layer("b", 1000)), at(0))

    assert await metadata.totals() == Totals(
        blobs=4, bytes=1115, manifests=2, repositories=2, hosted_bytes=110
    )


async def test_an_image_of_a_tag(metadata: MetadataStore) -> None:
    await put_image(metadata, NGINX, "m", [layer("a", 100), layer("b", 20)], 1)
    await metadata.put_tag(NGINX, LATEST, tagged(manifest("m"), 2))
    await use(metadata, digest("m"), 3, by=NGINX)

    assert await only_image(metadata) == ImageSummary(
        repository=NGINX,
        tag="latest",
        descriptor=manifest("m"),
        size=130,
        shared=0,
        complete=True,
        platforms=(),
        confirmed_at=at(2),
        last_used_at=at(3),
    )


async def test_an_image_of_a_tag_whose_manifest_is_not_stored(metadata: MetadataStore) -> None:
    await metadata.put_tag(NGINX, LATEST, tagged(manifest("m"), 2))
    await put_image(metadata, REDIS, "m", [])
    await metadata.delete_manifest(REDIS, digest("m"))

    assert await only_image(metadata) == ImageSummary(
        repository=NGINX,
        tag="latest",
        descriptor=manifest("m"),
        size=0,
        shared=0,
        complete=False,
        platforms=(),
        confirmed_at=at(2),
        last_used_at=None,
    )


async def test_an_image_without_a_tag(metadata: MetadataStore) -> None:
    await put_image(metadata, NGINX, "m", [layer("a", 100)], 1)

    image = await only_image(metadata)

    assert (image.tag, image.descriptor, image.confirmed_at) == (None, manifest("m"), None)
    assert (image.size, image.complete, image.last_used_at) == (110, True, at(1))


async def test_what_an_index_holds_is_no_image_of_its_own(metadata: MetadataStore) -> None:
    await put_image(metadata, NGINX, "c", [layer("a", 100)])
    await put_image(metadata, REDIS, "c", [layer("a", 100)])
    await metadata.put_manifest(NGINX, index("i"), index_of(manifest("c")), at(0))

    assert [image.descriptor for image in await images(metadata, NGINX)] == [index("i")]
    assert [image.descriptor for image in await images(metadata, REDIS)] == [manifest("c")]


async def test_a_signature_is_an_image_of_its_own(metadata: MetadataStore) -> None:
    await put_image(metadata, NGINX, "m", [])
    await metadata.put_tag(NGINX, LATEST, tagged(manifest("m")))
    about = References((), (), manifest("m"))
    await metadata.put_manifest(NGINX, manifest("signature"), about, at(0))

    tag, signature = await images(metadata)

    assert (tag.tag, tag.size) == ("latest", 10)
    assert (signature.descriptor, signature.size) == (manifest("signature"), 10)


async def test_an_index_counts_what_is_stored_below_it(metadata: MetadataStore) -> None:
    await put_image(metadata, NGINX, "c", [layer("a", 100), layer("base", 1000)])
    await put_image(metadata, NGINX, "d", [layer("b", 20), layer("base", 1000)])
    await metadata.put_manifest(NGINX, index("inner", 5), index_of(manifest("d")), at(0))
    await metadata.put_manifest(
        NGINX, index("i", 6), index_of(manifest("c"), index("inner"), manifest("never")), at(0)
    )

    image = await only_image(metadata)

    assert image.size == 6 + 5 + 10 + 10 + 100 + 20 + 1000
    assert image.complete


async def test_platforms_are_those_that_the_index_names(metadata: MetadataStore) -> None:
    parts = (
        child(manifest("c"), AMD64),
        child(manifest("never"), ARM),
        child(manifest("attestation"), ATTESTATION),
        child(manifest("other"), None),
    )
    await put_image(metadata, NGINX, "c", [])
    await metadata.put_manifest(NGINX, index("i"), index_of(*parts), at(0))
    await metadata.put_tag(NGINX, LATEST, tagged(index("i")))
    await metadata.put_tag(NGINX, STABLE, tagged(manifest("c")))

    found = {image.tag: image.platforms for image in await images(metadata)}

    assert found == {"latest": ("linux/amd64", "linux/arm/v7"), "stable": ("linux/amd64",)}


@pytest.mark.parametrize(
    ("missing", "complete"),
    [((), True), (("a",), False), (("c",), False), (("i",), False), (("b", "d"), True)],
)
async def test_complete_is_an_index_with_one_whole_platform(
    metadata: MetadataStore, missing: tuple[str, ...], complete: object
) -> None:
    parts = (child(manifest("c"), AMD64), child(manifest("d"), ATTESTATION), manifest("never"))
    await put_image(metadata, NGINX, "c", [layer("a")])
    await put_image(metadata, NGINX, "d", [layer("b")])
    await metadata.put_manifest(NGINX, index("i"), index_of(*parts), at(0))

    for name in missing:
        await metadata.forget_blob(digest(name))

    assert (await only_image(metadata)).complete is complete


async def test_an_attestation_alone_completes_nothing(metadata: MetadataStore) -> None:
    parts = (child(manifest("never"), AMD64), child(manifest("d"), ATTESTATION))
    await put_image(metadata, NGINX, "d", [layer("b")])
    await metadata.put_manifest(NGINX, index("i"), index_of(*parts), at(0))

    assert not (await only_image(metadata)).complete


async def test_an_index_of_nothing_but_attestations_is_complete_with_one(
    metadata: MetadataStore,
) -> None:
    await put_image(metadata, NGINX, "d", [layer("b")])
    await metadata.put_manifest(
        NGINX, index("i"), index_of(child(manifest("d"), ATTESTATION)), at(0)
    )

    assert (await only_image(metadata)).complete


async def test_an_index_without_any_child_stored_is_not_complete(metadata: MetadataStore) -> None:
    await metadata.put_manifest(NGINX, index("i"), index_of(manifest("never")), at(0))

    assert not (await only_image(metadata)).complete


async def test_indexes_of_indexes_to_any_depth(metadata: MetadataStore) -> None:
    await put_image(metadata, NGINX, "0", [layer("a", 100)])
    for depth in range(1, 60):
        below = index_of(index(str(depth - 1)))
        await metadata.put_manifest(NGINX, index(str(depth), 5), below, at(0))

    image = await only_image(metadata)

    assert (image.descriptor, image.size, image.complete) == (index("59"), 110 + 59 * 5, True)


async def shared_sizes(store: MetadataStore) -> dict[str, int]:
    return {f"{image.repository}:{image.tag or ''}": image.shared for image in await images(store)}


async def test_what_images_of_any_repository_have_in_common_is_shared(
    metadata: MetadataStore,
) -> None:
    await put_image(metadata, NGINX, "m", [layer("a", 1), layer("base", 100)])
    await put_image(metadata, HOSTED, "n", [layer("b", 2), layer("base", 100)])
    await put_image(metadata, REDIS, "o", [layer("c", 3)])

    assert await shared_sizes(metadata) == {
        "docker.io/library/nginx:": 100,
        "library/nginx:": 100,
        "docker.io/library/redis:": 0,
    }


async def test_two_tags_on_one_manifest_share_all_of_it(metadata: MetadataStore) -> None:
    await put_image(metadata, NGINX, "m", [layer("a", 100)])
    await metadata.put_tag(NGINX, LATEST, tagged(manifest("m")))
    await metadata.put_tag(NGINX, STABLE, tagged(manifest("m")))

    assert await shared_sizes(metadata) == {
        "docker.io/library/nginx:latest": 110,
        "docker.io/library/nginx:stable": 110,
    }


async def test_platforms_of_one_index_are_one_image(metadata: MetadataStore) -> None:
    await put_image(metadata, NGINX, "c", [layer("base", 100)])
    await put_image(metadata, NGINX, "d", [layer("base", 100)])
    await metadata.put_manifest(NGINX, index("i"), index_of(manifest("c"), manifest("d")), at(0))

    assert await shared_sizes(metadata) == {"docker.io/library/nginx:": 0}


async def test_a_platform_in_two_indexes_is_shared(metadata: MetadataStore) -> None:
    await put_image(metadata, NGINX, "c", [layer("a", 100)])
    await put_image(metadata, NGINX, "d", [layer("b", 20)])
    both = index_of(manifest("c"), manifest("d"))
    await metadata.put_manifest(NGINX, index("i", 5), both, at(0))
    await metadata.put_manifest(NGINX, index("j", 6), index_of(manifest("c")), at(0))
    for tag, top in ((LATEST, index("i")), (STABLE, index("j"))):
        await metadata.put_tag(NGINX, tag, tagged(top))

    assert await shared_sizes(metadata) == {
        "docker.io/library/nginx:latest": 110,
        "docker.io/library/nginx:stable": 110,
    }


async def test_a_tag_on_one_platform_of_an_index_shares_it(metadata: MetadataStore) -> None:
    await put_image(metadata, NGINX, "c", [layer("a", 100)])
    await metadata.put_manifest(NGINX, index("i", 5), index_of(manifest("c")), at(0))
    await metadata.put_tag(NGINX, LATEST, tagged(index("i")))
    await metadata.put_tag(NGINX, STABLE, tagged(manifest("c")))

    assert await shared_sizes(metadata) == {
        "docker.io/library/nginx:latest": 110,
        "docker.io/library/nginx:stable": 110,
    }


async def put_many(store: MetadataStore) -> None:
    for repository in (REDIS, NGINX_ELSEWHERE, HOSTED, NGINX):
        await put_image(store, repository, "m", [])
        for tag in ("b", "a", "C"):
            await store.put_tag(repository, Tag(tag), tagged(manifest("m")))
        for name in ("x", "y"):
            await store.put_manifest(repository, manifest(name), None, at(0))
    await store.put_manifest(
        Repository("docker.io", RepositoryName("untagged")), manifest("z"), None, at(0)
    )
    await store.put_tag(Repository("docker.io", RepositoryName("zz")), LATEST, tagged(index("?")))


async def test_images_are_in_order_of_repository_and_tag(metadata: MetadataStore) -> None:
    await put_many(metadata)

    each = ["C", "a", "b"]
    assert await names(metadata) == [
        *(f"library/nginx:{tag}" for tag in each),
        *["library/nginx@"] * 2,
        *(f"docker.io/library/nginx:{tag}" for tag in each),
        *["docker.io/library/nginx@"] * 2,
        *(f"docker.io/library/redis:{tag}" for tag in each),
        *["docker.io/library/redis@"] * 2,
        "docker.io/untagged@",
        "docker.io/zz:latest",
        *(f"ghcr.io/library/nginx:{tag}" for tag in each),
        *["ghcr.io/library/nginx@"] * 2,
    ]


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 22, 23])
async def test_pages_of_images_hold_each_once(metadata: MetadataStore, limit: int) -> None:
    await put_many(metadata)
    everything = await images(metadata)
    assert len(everything) == 22

    assert await images(metadata, None, limit) == everything
    for repository in (HOSTED, NGINX):
        assert await images(metadata, repository, limit) == [
            image for image in everything if image.repository == repository
        ]


@pytest.mark.parametrize(
    ("key", "first"),
    [
        ("", "library/nginx:C"),
        ("docker.io", "docker.io/library/nginx:C"),
        ("docker.io library/nginx", "docker.io/library/nginx:C"),
        ("docker.io library/nginx a", "docker.io/library/nginx:b"),
        ("docker.io library/nginx zebra", "docker.io/library/nginx@"),
        ("docker.io library/nginx sha256:zebra", "docker.io/library/redis:C"),
        ("docker.io\x00 \ud800 \ud800", "docker.io/library/nginx:C"),
        ("~", None),
    ],
)
async def test_any_text_is_a_place_in_the_order(
    metadata: MetadataStore, key: str, first: str | None
) -> None:
    await put_many(metadata)

    page, _ = await metadata.list_images(None, key, 1)

    found = [
        f"{image.repository}:{image.tag}" if image.tag else f"{image.repository}@" for image in page
    ]
    assert found == ([first] if first else [])


async def test_an_unknown_repository_has_no_images(metadata: MetadataStore) -> None:
    await metadata.put_manifest(NGINX, manifest("m"), image_of(layer("a")), at(0))

    assert await images(metadata, REDIS) == []
