"""What every store of facts promises about manifests that are pushed and removed."""

from dataclasses import replace

from mirror.oci.manifest import References
from mirror.oci.media_type import OCI_INDEX
from mirror.oci.reference import Tag
from mirror.ports.hosting import MOST_NAMED, Facts, PushOutcome, Removal
from mirror.ports.metadata import TagRecord
from tests.conformance.metadata import (
    AMD64,
    ARM,
    LATEST,
    NGINX,
    STABLE,
    at,
    blob,
    child,
    digest,
    idle_manifests,
    image_of,
    index,
    index_of,
    layer,
    manifest,
    put_image,
)
from tests.conformance.pushing import APP, COPY, RECORDED, layers_of, push_image, pushed


async def test_a_pushed_image_is_there(metadata: Facts) -> None:
    await push_image(metadata, "m", [layer("a", 100)], LATEST, STABLE, seconds=3)

    assert await metadata.get_manifest(APP, digest("m")) == manifest("m")
    assert await metadata.get_tag(APP, LATEST) == TagRecord(manifest("m"), at(3))
    assert await metadata.get_tag(APP, STABLE) == TagRecord(manifest("m"), at(3))
    assert await metadata.list_tags(APP, None, 10) == [LATEST, STABLE]
    assert await metadata.get_stored(digest("m")) == blob(manifest("m"))
    assert await metadata.get_blob(APP, digest("a")) == blob(layer("a", 100))
    assert await metadata.linked_size(APP, digest("a")) == 100


async def test_a_manifest_is_no_blob_of_its_repository(metadata: Facts) -> None:
    await push_image(metadata, "m", layers_of("a"))

    assert await metadata.get_blob(APP, digest("m")) is None


async def test_nothing_is_recorded_while_something_is_missing(metadata: Facts) -> None:
    await metadata.put_blob(APP, blob(layer("there")), at(0))
    await push_image(metadata, "before", [], LATEST)
    push = pushed(manifest("m"), image_of(*layers_of("x", "there", "y")), LATEST, STABLE)

    outcome = await metadata.push_manifest(push)

    assert outcome == PushOutcome((layer("x"), layer("y")), ())
    assert await metadata.get_manifest(APP, digest("m")) is None
    assert await metadata.get_stored(digest("m")) is None
    assert await metadata.get_tag(APP, LATEST) == TagRecord(manifest("before"), at(0))
    assert await metadata.get_tag(APP, STABLE) is None
    assert await metadata.linked_size(APP, digest("there")) is None


async def test_what_is_missing_is_told_once_as_it_was_described(metadata: Facts) -> None:
    missing = layer("x", 7)
    push = pushed(manifest("m"), image_of(missing, missing, replace(missing, size=8)))

    (told,) = (await metadata.push_manifest(push)).missing

    assert told.digest == missing.digest


async def test_a_blob_of_another_repository_is_missing(metadata: Facts) -> None:
    """Knowing a digest is not permission."""
    await metadata.put_blob(COPY, blob(layer("a")), at(0))
    await metadata.put_blob(NGINX, blob(layer("b")), at(0))
    push = pushed(manifest("m"), image_of(*layers_of("a", "b")))

    assert (await metadata.push_manifest(push)).missing == (layer("a"), layer("b"))


async def test_a_linked_blob_that_is_not_stored_is_missing(metadata: Facts) -> None:
    await metadata.put_blob(APP, blob(layer("a")), at(0))
    await metadata.forget_blob(digest("a"))
    push = pushed(manifest("m"), image_of(layer("a")))

    assert (await metadata.push_manifest(push)).missing == (layer("a"),)


async def test_stored_as_a_manifest_is_not_linked_as_a_blob(metadata: Facts) -> None:
    await push_image(metadata, "m", [])
    push = pushed(manifest("n"), image_of(manifest("m")))

    assert (await metadata.push_manifest(push)).missing == (manifest("m"),)


async def test_a_manifest_may_name_one_blob_twice(metadata: Facts) -> None:
    await push_image(metadata, "m", [layer("a"), layer("a"), layer("b")])

    assert await metadata.get_manifest(APP, digest("m")) == manifest("m")
    assert await metadata.unlink_blob(APP, digest("a")) == Removal(True, (digest("m"),))


async def test_children_must_be_manifests_of_the_repository(metadata: Facts) -> None:
    await push_image(metadata, "here", [])
    await push_image(metadata, "there", [], repository=COPY)
    await metadata.put_blob(APP, blob(manifest("as a blob")), at(0))
    children = [
        child(manifest(name), AMD64) for name in ("here", "there", "as a blob", "nowhere", "here")
    ]

    outcome = await metadata.push_manifest(pushed(index("i"), index_of(*children)))

    assert set(outcome.missing) == {
        child(manifest(n), AMD64) for n in ("there", "as a blob", "nowhere")
    }
    assert await metadata.get_manifest(APP, digest("i")) is None


async def test_an_index_is_recorded_once_its_children_are(metadata: Facts) -> None:
    await push_image(metadata, "m", [])
    children = (child(manifest("m"), AMD64), child(manifest("m"), ARM))

    assert await metadata.push_manifest(pushed(index("i"), index_of(*children), LATEST)) == RECORDED

    assert await metadata.get_tag(APP, LATEST) == TagRecord(index("i"), at(0))


async def test_a_subject_need_not_exist(metadata: Facts) -> None:
    about = References((), (), manifest("never seen"))

    assert await metadata.push_manifest(pushed(manifest("m"), about)) == RECORDED


async def test_a_lender_fills_in(metadata: Facts) -> None:
    await metadata.put_blob(NGINX, blob(layer("lent")), at(0))
    await metadata.put_blob(APP, blob(layer("own")), at(0))
    push = pushed(manifest("m"), image_of(*layers_of("lent", "own")), lender=NGINX)

    assert await metadata.push_manifest(push) == RECORDED

    assert await metadata.get_blob(APP, digest("lent")) == blob(layer("lent"))
    assert await metadata.get_blob(NGINX, digest("own")) is None, "nothing is given back"


async def test_nothing_is_lent_for_a_push_that_fails(metadata: Facts) -> None:
    await metadata.put_blob(NGINX, blob(layer("lent")), at(0))
    push = pushed(manifest("m"), image_of(*layers_of("lent", "missing")), lender=NGINX)

    assert (await metadata.push_manifest(push)).missing == (layer("missing"),)

    assert await metadata.get_blob(APP, digest("lent")) is None


async def test_what_a_lender_has_lost_is_missing(metadata: Facts) -> None:
    await metadata.link_blob(NGINX, digest("lost"))
    push = pushed(manifest("m"), image_of(layer("lost")), lender=NGINX)

    assert (await metadata.push_manifest(push)).missing == (layer("lost"),)


async def test_what_was_lent_survives_the_lender(metadata: Facts) -> None:
    await put_image(metadata, NGINX, "m", layers_of("lent"))
    push = pushed(manifest("m"), image_of(layer("lent")), lender=NGINX)
    await metadata.push_manifest(push)

    gone = await metadata.evict(
        await idle_manifests(metadata), [digest("m"), digest("lent")], at(1000)
    )

    assert gone == []
    assert await metadata.get_manifest(NGINX, digest("m")) is None
    assert await metadata.get_blob(APP, digest("lent")) == blob(layer("lent"))


async def test_a_tag_moves(metadata: Facts) -> None:
    await push_image(metadata, "old", [], LATEST, seconds=1)
    assert await metadata.get_tag(APP, LATEST)
    await push_image(metadata, "new", [], LATEST, seconds=2)

    assert await metadata.get_tag(APP, LATEST) == TagRecord(manifest("new"), at(2))
    assert await metadata.get_manifest(APP, digest("old")) == manifest("old")


async def test_an_immutable_tag_does_not(metadata: Facts) -> None:
    await push_image(metadata, "old", [], LATEST, STABLE, seconds=1)
    push = pushed(manifest("new"), None, LATEST, STABLE, immutable=[STABLE, Tag("other")])

    assert await metadata.push_manifest(push) == PushOutcome((), (STABLE,))

    assert await metadata.get_tag(APP, LATEST) == TagRecord(manifest("old"), at(1))
    assert await metadata.get_tag(APP, STABLE) == TagRecord(manifest("old"), at(1))
    assert await metadata.get_manifest(APP, digest("new")) is None


async def test_an_immutable_tag_is_put_once_and_may_be_put_again(metadata: Facts) -> None:
    push = pushed(manifest("m"), None, STABLE, immutable=[STABLE])

    assert await metadata.push_manifest(push) == RECORDED
    assert await metadata.push_manifest(replace(push, pushed_at=at(5))) == RECORDED

    assert await metadata.get_tag(APP, STABLE) == TagRecord(manifest("m"), at(5))


async def test_all_that_is_wrong_is_told_at_once(metadata: Facts) -> None:
    await push_image(metadata, "old", [], STABLE)
    push = pushed(manifest("new"), image_of(layer("x")), STABLE, immutable=[STABLE])

    assert await metadata.push_manifest(push) == PushOutcome((layer("x"),), (STABLE,))


async def test_pushing_again_changes_nothing(metadata: Facts) -> None:
    await push_image(metadata, "m", layers_of("a"), LATEST)
    await push_image(metadata, "m", layers_of("a"), LATEST)

    assert await metadata.list_tags(APP, None, 10) == [LATEST]
    assert (await metadata.totals()).manifests == 1
    assert (await metadata.remove_manifest(APP, digest("m"))).found
    assert await metadata.get_manifest(APP, digest("m")) is None


async def test_the_first_media_type_stays_for_the_tags_too(metadata: Facts) -> None:
    await push_image(metadata, "m", [])
    other = replace(manifest("m"), media_type=OCI_INDEX)

    assert await metadata.push_manifest(pushed(other, None, LATEST)) == RECORDED

    assert await metadata.get_manifest(APP, digest("m")) == manifest("m")
    assert await metadata.get_tag(APP, LATEST) == TagRecord(manifest("m"), at(0))


async def test_many_layers_are_looked_for_at_once(metadata: Facts) -> None:
    """More than one statement takes."""
    layers = layers_of(*(f"l{number}" for number in range(1100)))
    for part in (layers[0], layers[600], layers[-1]):
        await metadata.put_blob(APP, blob(part), at(0))

    outcome = await metadata.push_manifest(pushed(manifest("m"), image_of(*layers)))

    assert outcome.missing == (*layers[1:600], *layers[601:-1])


async def test_a_removed_manifest_takes_its_tags_along(metadata: Facts) -> None:
    await push_image(metadata, "m", layers_of("a"), LATEST, STABLE)
    await push_image(metadata, "n", layers_of("a"), Tag("other"))
    assert await metadata.get_manifest(APP, digest("m"))
    assert await metadata.get_tag(APP, LATEST)

    assert await metadata.remove_manifest(APP, digest("m")) == Removal(True, ())

    assert await metadata.get_manifest(APP, digest("m")) is None
    assert await metadata.get_tag(APP, LATEST) is None
    assert await metadata.list_tags(APP, None, 10) == [Tag("other")]
    assert await metadata.remove_manifest(APP, digest("m")) == Removal(False, ())


async def test_a_removed_manifest_leaves_the_links(metadata: Facts) -> None:
    """Another push may rely on them: its client was told that the blobs are there."""
    await push_image(metadata, "m", layers_of("a"))
    assert await metadata.linked_size(APP, digest("a")) == 100
    await metadata.remove_manifest(APP, digest("m"))

    assert await metadata.get_blob(APP, digest("a")) == blob(layer("a"))
    assert await metadata.linked_size(APP, digest("a")) is None
    assert await metadata.push_manifest(pushed(manifest("n"), image_of(layer("a")))) == RECORDED


async def test_a_manifest_is_removed_from_one_repository(metadata: Facts) -> None:
    for repository in (APP, COPY):
        await push_image(metadata, "m", [], LATEST, repository=repository)
    await metadata.remove_manifest(APP, digest("m"))

    assert await metadata.get_manifest(COPY, digest("m")) == manifest("m")
    assert await metadata.get_tag(COPY, LATEST) == TagRecord(manifest("m"), at(0))
    assert await metadata.get_stored(digest("m"))


async def test_what_an_index_needs_is_not_removed(metadata: Facts) -> None:
    await push_image(metadata, "m", [], LATEST)
    for name in ("i", "j"):
        await metadata.push_manifest(pushed(index(name), index_of(manifest("m"))))
    await push_image(metadata, "m", [], repository=COPY)

    kept = await metadata.remove_manifest(APP, digest("m"))

    assert kept.found
    assert set(kept.needed_by) == {digest("i"), digest("j")}
    assert await metadata.get_tag(APP, LATEST) == TagRecord(manifest("m"), at(0))
    assert await metadata.remove_manifest(COPY, digest("m")) == Removal(True, ()), "no index there"
    for name in ("i", "j", "m"):
        assert await metadata.remove_manifest(APP, digest(name)) == Removal(True, ())


async def test_a_subject_may_go(metadata: Facts) -> None:
    await push_image(metadata, "m", [])
    await metadata.push_manifest(pushed(manifest("sbom"), References((), (), manifest("m"))))

    assert await metadata.remove_manifest(APP, digest("m")) == Removal(True, ())


async def test_of_many_that_need_it_some_are_named(metadata: Facts) -> None:
    await push_image(metadata, "m", layers_of("a"))
    for number in range(MOST_NAMED + 2):
        await metadata.push_manifest(pushed(index(f"i{number}"), index_of(manifest("m"))))

    assert len((await metadata.remove_manifest(APP, digest("m"))).needed_by) == MOST_NAMED
