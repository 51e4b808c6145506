"""What every metadata store promises about tags, manifests and blobs."""

import asyncio

import pytest

from mirror.oci.digest import digest_of
from mirror.oci.manifest import Descriptor, References
from mirror.oci.reference import Tag
from mirror.ports.metadata import BlobRecord, MetadataStore, TagRecord
from mirror.ports.repository import Repository
from tests.conformance.metadata import (
    AMD64,
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
    index,
    index_of,
    layer,
    manifest,
    put_image,
    tagged,
)

LARGEST = 2**63 - 1


async def test_nothing_is_there_at_first(metadata: MetadataStore) -> None:
    nothing = digest("nothing")

    assert await metadata.get_tag(NGINX, LATEST) is None
    assert await metadata.get_manifest(NGINX, nothing) is None
    assert await metadata.get_blob(NGINX, nothing) is None
    assert await metadata.get_stored(nothing) is None
    assert await metadata.linked_size(NGINX, nothing) is None
    assert await metadata.delete_tag(NGINX, LATEST) is False
    assert await metadata.delete_manifest(NGINX, nothing) is False
    assert await metadata.forget_blob(nothing) is False


async def test_a_tag_needs_no_manifest(metadata: MetadataStore) -> None:
    record = tagged(manifest("m"), 3)

    await metadata.put_tag(NGINX, LATEST, record)

    assert await metadata.get_tag(NGINX, LATEST) == record
    assert await metadata.get_manifest(NGINX, record.descriptor.digest) is None


async def test_a_tag_moves_and_is_confirmed(metadata: MetadataStore) -> None:
    await metadata.put_tag(NGINX, LATEST, tagged(manifest("old"), 1))
    assert await metadata.get_tag(NGINX, LATEST) == tagged(manifest("old"), 1)

    await metadata.put_tag(NGINX, LATEST, tagged(manifest("new"), 2))
    assert await metadata.get_tag(NGINX, LATEST) == tagged(manifest("new"), 2)

    await metadata.put_tag(NGINX, LATEST, tagged(manifest("new"), 3))
    assert await metadata.get_tag(NGINX, LATEST) == tagged(manifest("new"), 3)


async def test_a_deleted_tag_is_gone_and_takes_nothing_along(metadata: MetadataStore) -> None:
    await metadata.put_manifest(NGINX, manifest("m"), None, at(0))
    await metadata.put_tag(NGINX, LATEST, tagged(manifest("m")))
    await metadata.put_tag(NGINX, STABLE, tagged(manifest("m")))

    assert await metadata.delete_tag(NGINX, LATEST) is True

    assert await metadata.get_tag(NGINX, LATEST) is None
    assert await metadata.delete_tag(NGINX, LATEST) is False
    assert await metadata.get_tag(NGINX, STABLE) == tagged(manifest("m"))
    assert await metadata.get_manifest(NGINX, digest("m")) == manifest("m")


async def test_tags_differ_by_case(metadata: MetadataStore) -> None:
    await metadata.put_tag(NGINX, Tag("RC"), tagged(manifest("upper")))
    await metadata.put_tag(NGINX, Tag("rc"), tagged(manifest("lower")))

    assert await metadata.get_tag(NGINX, Tag("RC")) == tagged(manifest("upper"))


async def list_tags(store: MetadataStore, repository: Repository, limit: int = 100) -> list[str]:
    found = list(await store.list_tags(repository, None, limit))
    while found and len(more := await store.list_tags(repository, found[-1], limit)) > 0:
        assert len(more) <= limit
        found += more
    return [tag.value for tag in found]


@pytest.mark.parametrize("limit", [1, 2, 100])
async def test_tags_are_listed_in_the_order_of_their_bytes(
    metadata: MetadataStore, limit: int
) -> None:
    texts = ["latest", "_x", "RC", "rc", "1.10", "1.9", "1", "Z", "a-b", "a.b", "a_b", "aB"]
    for text in texts:
        await metadata.put_manifest(NGINX, manifest(text), None, at(0))
        await metadata.put_tag(NGINX, Tag(text), tagged(manifest(text)))

    assert await list_tags(metadata, NGINX, limit) == sorted(texts)
    for other in (REDIS, NGINX_ELSEWHERE, HOSTED):
        assert await list_tags(metadata, other, limit) == []


async def test_a_list_of_tags_goes_on_after_one_that_need_not_be_there(
    metadata: MetadataStore,
) -> None:
    await metadata.put_manifest(NGINX, manifest("m"), None, at(0))
    for text in ("a", "c", "d"):
        await metadata.put_tag(NGINX, Tag(text), tagged(manifest("m")))

    assert await metadata.list_tags(NGINX, Tag("b"), 100) == [Tag("c"), Tag("d")]
    assert await metadata.list_tags(NGINX, Tag("c"), 100) == [Tag("d")]
    assert await metadata.list_tags(NGINX, Tag("d"), 100) == []


async def test_only_tags_whose_manifest_is_here_are_listed(metadata: MetadataStore) -> None:
    await metadata.put_manifest(NGINX, manifest("here"), None, at(0))
    await metadata.put_manifest(REDIS, manifest("elsewhere"), None, at(0))
    await metadata.put_tag(NGINX, Tag("a"), tagged(manifest("here")))
    await metadata.put_tag(NGINX, Tag("b"), tagged(manifest("elsewhere")))
    await metadata.put_tag(NGINX, Tag("c"), tagged(manifest("nowhere")))
    assert await list_tags(metadata, NGINX) == ["a"]

    await metadata.put_tag(NGINX, Tag("c"), tagged(manifest("here")))
    assert await list_tags(metadata, NGINX) == ["a", "c"]

    await metadata.delete_tag(NGINX, Tag("a"))
    assert await list_tags(metadata, NGINX) == ["c"]

    await metadata.delete_manifest(NGINX, digest("here"))
    assert await list_tags(metadata, NGINX) == []


@pytest.mark.parametrize("other", [REDIS, NGINX_ELSEWHERE, HOSTED], ids=str)
async def test_repositories_share_nothing(metadata: MetadataStore, other: Repository) -> None:
    await metadata.put_tag(NGINX, LATEST, tagged(manifest("m")))
    await put_image(metadata, NGINX, "m", [layer("a")])

    assert await metadata.get_tag(other, LATEST) is None
    assert await metadata.delete_tag(other, LATEST) is False
    assert await metadata.get_manifest(other, digest("m")) is None
    assert await metadata.delete_manifest(other, digest("m")) is False
    assert await metadata.get_blob(other, digest("a")) is None
    assert await metadata.linked_size(other, digest("a")) is None
    assert await metadata.get_tag(NGINX, LATEST) == tagged(manifest("m"))
    assert await metadata.get_blob(NGINX, digest("a")) == blob(layer("a"))


async def test_the_platform_of_a_descriptor_is_not_kept(metadata: MetadataStore) -> None:
    await metadata.put_manifest(NGINX, child(manifest("m"), AMD64), None, at(0))
    await metadata.put_tag(NGINX, LATEST, tagged(child(manifest("m"), AMD64)))

    assert await metadata.get_manifest(NGINX, digest("m")) == manifest("m")
    for _ in range(2):
        assert await metadata.get_tag(NGINX, LATEST) == tagged(manifest("m"))


async def test_the_first_media_type_of_a_manifest_stays(metadata: MetadataStore) -> None:
    await metadata.put_manifest(NGINX, manifest("m"), None, at(0))
    await metadata.put_manifest(NGINX, Descriptor("other/type", digest("m"), 10), None, at(1))

    assert await metadata.get_manifest(NGINX, digest("m")) == manifest("m")


async def test_each_repository_has_its_own_media_type(metadata: MetadataStore) -> None:
    other = Descriptor("other/type", digest("m"), 10)
    await metadata.put_manifest(NGINX, manifest("m"), None, at(0))
    await metadata.put_manifest(REDIS, other, None, at(0))

    assert await metadata.get_manifest(NGINX, digest("m")) == manifest("m")
    assert await metadata.get_manifest(REDIS, digest("m")) == other


async def test_the_bytes_of_a_manifest_are_a_stored_blob_that_is_not_linked(
    metadata: MetadataStore,
) -> None:
    await metadata.put_manifest(NGINX, manifest("m", 10), None, at(0))

    assert await metadata.get_stored(digest("m")) == BlobRecord(digest("m"), 10)
    assert await metadata.get_blob(NGINX, digest("m")) is None


async def test_a_manifest_links_its_blobs_before_they_are_stored(metadata: MetadataStore) -> None:
    await metadata.put_manifest(NGINX, manifest("m"), image_of(layer("a", 7)), at(0))

    assert await metadata.get_blob(NGINX, digest("a")) is None
    assert await metadata.linked_size(NGINX, digest("a")) == 7

    await metadata.put_blob(REDIS, BlobRecord(digest("a"), 7), at(1))

    assert await metadata.get_blob(NGINX, digest("a")) == BlobRecord(digest("a"), 7)


async def test_an_index_does_not_link_its_children_nor_its_subject(
    metadata: MetadataStore,
) -> None:
    parts = References((manifest("c"),), (), manifest("s"))
    await metadata.put_manifest(NGINX, index("i"), parts, at(0))
    for part in (manifest("c"), manifest("s")):
        await metadata.put_blob(REDIS, blob(part), at(0))

        assert await metadata.get_blob(NGINX, part.digest) is None
        assert await metadata.linked_size(NGINX, part.digest) is None
        assert await metadata.get_manifest(NGINX, part.digest) is None


async def test_a_manifest_may_name_a_blob_twice(metadata: MetadataStore) -> None:
    await metadata.put_manifest(
        NGINX, manifest("m"), image_of(layer("a", 7), layer("b", 8), layer("a", 7)), at(0)
    )

    assert await metadata.linked_size(NGINX, digest("a")) == 7
    assert await metadata.linked_size(NGINX, digest("b")) == 8


async def test_references_are_added_to_a_manifest_that_was_opaque(metadata: MetadataStore) -> None:
    await metadata.put_manifest(NGINX, manifest("m"), None, at(0))
    await metadata.put_manifest(NGINX, manifest("m"), image_of(layer("a", 7)), at(1))
    await metadata.put_manifest(NGINX, manifest("m"), None, at(2))

    assert await metadata.linked_size(NGINX, digest("a")) == 7


async def test_putting_twice_is_putting_once(metadata: MetadataStore) -> None:
    for _ in range(2):
        await put_image(metadata, NGINX, "m", [layer("a")])
        await metadata.link_blob(NGINX, digest("a"))

    assert await metadata.delete_manifest(NGINX, digest("m")) is True
    assert await metadata.get_manifest(NGINX, digest("m")) is None
    assert await metadata.get_blob(NGINX, digest("a")) is None


async def test_a_deleted_manifest_takes_its_tags_along(metadata: MetadataStore) -> None:
    for name in ("m", "other"):
        await metadata.put_manifest(NGINX, manifest(name), None, at(0))
    await metadata.put_tag(NGINX, LATEST, tagged(manifest("m")))
    await metadata.put_tag(NGINX, STABLE, tagged(manifest("other")))
    await metadata.put_tag(REDIS, LATEST, tagged(manifest("m")))
    assert await metadata.get_tag(NGINX, LATEST)

    assert await metadata.delete_manifest(NGINX, digest("m")) is True

    assert await metadata.get_manifest(NGINX, digest("m")) is None
    assert await metadata.get_tag(NGINX, LATEST) is None
    assert await metadata.get_tag(NGINX, STABLE) == tagged(manifest("other"))
    assert await metadata.get_tag(REDIS, LATEST) == tagged(manifest("m"))
    assert await metadata.delete_manifest(NGINX, digest("m")) is False


async def test_deleting_a_manifest_that_is_not_there_takes_its_tags_along(
    metadata: MetadataStore,
) -> None:
    await metadata.put_tag(NGINX, LATEST, tagged(manifest("m")))

    assert await metadata.delete_manifest(NGINX, digest("m")) is False

    assert await metadata.get_tag(NGINX, LATEST) is None


async def test_a_deleted_manifest_unlinks_what_nothing_else_refers_to(
    metadata: MetadataStore,
) -> None:
    await put_image(metadata, NGINX, "m", [layer("own"), layer("shared")])
    await put_image(metadata, NGINX, "other", [layer("shared")])
    await put_image(metadata, REDIS, "m", [layer("own")])
    assert await metadata.get_blob(NGINX, digest("own"))
    assert await metadata.linked_size(NGINX, digest("own"))

    await metadata.delete_manifest(NGINX, digest("m"))

    assert await metadata.get_blob(NGINX, digest("own")) is None
    assert await metadata.linked_size(NGINX, digest("own")) is None
    assert await metadata.get_blob(NGINX, digest("shared")) == blob(layer("shared"))
    assert await metadata.get_blob(REDIS, digest("own")) == blob(layer("own"))
    assert await metadata.get_stored(digest("own")) == blob(layer("own"))


async def test_a_manifest_comes_back_whole_after_it_was_deleted(metadata: MetadataStore) -> None:
    await put_image(metadata, NGINX, "m", [layer("a")])
    await metadata.delete_manifest(NGINX, digest("m"))

    await metadata.put_manifest(NGINX, manifest("m"), image_of(layer("b", 9)), at(9))

    assert await metadata.get_manifest(NGINX, digest("m")) == manifest("m")
    assert await metadata.linked_size(NGINX, digest("b")) == 9
    assert await metadata.get_blob(NGINX, digest("a")) is None


async def test_the_child_of_a_deleted_index_stays(metadata: MetadataStore) -> None:
    await put_image(metadata, NGINX, "c", [layer("a")])
    await metadata.put_manifest(NGINX, index("i"), index_of(manifest("c")), at(0))

    await metadata.delete_manifest(NGINX, digest("i"))

    assert await metadata.get_manifest(NGINX, digest("c")) == manifest("c")
    assert await metadata.get_blob(NGINX, digest("a")) == blob(layer("a"))


async def test_a_blob_is_served_by_whom_it_is_linked_to(metadata: MetadataStore) -> None:
    await metadata.put_blob(NGINX, blob(layer("a")), at(0))
    assert await metadata.get_stored(digest("a")) == blob(layer("a"))
    assert await metadata.get_blob(REDIS, digest("a")) is None

    await metadata.link_blob(REDIS, digest("a"))

    assert await metadata.get_blob(REDIS, digest("a")) == blob(layer("a"))
    assert await metadata.linked_size(REDIS, digest("a")) is None


async def test_a_link_can_come_before_the_bytes(metadata: MetadataStore) -> None:
    await metadata.link_blob(NGINX, digest("a"))
    assert await metadata.get_blob(NGINX, digest("a")) is None

    await metadata.put_blob(REDIS, blob(layer("a")), at(0))

    assert await metadata.get_blob(NGINX, digest("a")) == blob(layer("a"))


async def test_a_forgotten_blob_keeps_its_links_and_references(metadata: MetadataStore) -> None:
    await put_image(metadata, NGINX, "m", [layer("a", 7)])
    await metadata.link_blob(REDIS, digest("a"))
    for repository in (NGINX, REDIS):
        assert await metadata.get_blob(repository, digest("a"))

    assert await metadata.forget_blob(digest("a")) is True

    for repository in (NGINX, REDIS):
        assert await metadata.get_blob(repository, digest("a")) is None
    assert await metadata.get_stored(digest("a")) is None
    assert await metadata.linked_size(NGINX, digest("a")) == 7
    assert await metadata.get_manifest(NGINX, digest("m")) == manifest("m")
    assert await metadata.forget_blob(digest("a")) is False

    await metadata.put_blob(NGINX, blob(layer("a", 7)), at(1))
    assert await metadata.get_blob(REDIS, digest("a")) == blob(layer("a", 7))


async def test_sizes_and_digests_at_the_limits(metadata: MetadataStore) -> None:
    huge = Descriptor("", digest_of(b"x", "sha512"), LARGEST)

    await metadata.put_manifest(NGINX, manifest("m"), image_of(huge), at(0))
    await metadata.put_blob(NGINX, BlobRecord(digest("empty"), 0), at(0))
    await metadata.put_tag(NGINX, LATEST, TagRecord(huge, at(0)))

    assert await metadata.linked_size(NGINX, huge.digest) == LARGEST
    assert await metadata.get_blob(NGINX, digest("empty")) == BlobRecord(digest("empty"), 0)
    assert await metadata.get_tag(NGINX, LATEST) == TagRecord(huge, at(0))


async def test_a_manifest_of_thousands_of_parts(metadata: MetadataStore) -> None:
    parts = [layer(f"part {number}", number) for number in range(5000)]

    await metadata.put_manifest(NGINX, manifest("m"), image_of(*parts), at(0))
    assert await metadata.linked_size(NGINX, digest("part 4999")) == 4999

    await metadata.delete_manifest(NGINX, digest("m"))
    assert await metadata.linked_size(NGINX, digest("part 4999")) is None


async def test_everything_at_once(metadata: MetadataStore) -> None:
    names = [f"m{number}" for number in range(20)]

    await asyncio.gather(
        *(put_image(metadata, NGINX, name, [layer("top of " + name)]) for name in names),
        *(metadata.put_tag(NGINX, Tag(name), tagged(manifest(name))) for name in names),
    )
    found = await asyncio.gather(*(metadata.get_tag(NGINX, Tag(name)) for name in names))

    assert [record.descriptor.digest for record in found if record] == list(map(digest, names))
    for name in names:
        top = layer("top of " + name)
        assert await metadata.get_blob(NGINX, top.digest) == blob(top)


async def test_closing_twice_is_closing_once(metadata: MetadataStore) -> None:
    await metadata.close()
    await metadata.close()
