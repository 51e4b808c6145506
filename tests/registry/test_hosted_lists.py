"""Lists of what is hosted: tags, referrers and repositories, page by page."""

import json
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci.digest import Digest, parse_digest
from mirror.oci.errors import DigestInvalid
from mirror.oci.page import Page
from mirror.oci.reference import RepositoryName
from mirror.oci.referrers import parse_referrers, referrers_tag, render_referrers
from mirror.ports.repository import Repository
from mirror.registry import recorded_referrers
from mirror.registry.hosted import PushedManifest
from mirror.registry.referrers_page import ROOM, ReferrersPage
from tests.registry.hosting_bench import IMAGE, NGINX, OTHER, TEAM, TO_TEAM, House, build, digest
from tests.registry.workbench import MIRROR, fills_ended
from tests.simulated_hub import make_index
from tests.simulated_hub.content import OCI, Image, descriptor, encoded, make_artifact

ALL = Page(None, None)
SUBJECT = digest(IMAGE)
NOTE = "application/vnd.example.note"
SCAN = "application/vnd.example.scan"


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = build()
    yield house
    await house.close()


async def tags(house: House, page: Page) -> tuple[list[str], bool]:
    answer = await house.hosting.tags.list(TO_TEAM, page)
    return [tag.value for tag in answer.tags], answer.goes_on


async def test_tags_come_in_order_and_in_pages(house: House) -> None:
    for tag in ("b", "a", "C", "1"):
        await house.push(TEAM, tag, IMAGE)
    everything = ["1", "C", "a", "b"]

    assert await tags(house, ALL) == (everything, False)
    assert await tags(house, Page(4, None)) == (everything, False)
    assert await tags(house, Page(3, None)) == (everything[:3], True)
    assert await tags(house, Page(3, "a")) == (["b"], False)
    assert await tags(house, Page(1, "Between")) == (["C"], True)
    assert await tags(house, Page(2, "b")) == ([], False)
    assert await tags(house, Page(0, None)) == ([], False)
    assert await tags(house, Page(0, "a")) == ([], False)


async def test_more_tags_than_are_asked_for_at_once(house: House) -> None:
    await house.push(TEAM, None, IMAGE)
    names = [f"{number:04}" for number in range(2_100)]
    for name in names:
        await house.put(TEAM, name, IMAGE)

    assert await tags(house, ALL) == (names, False)
    assert await tags(house, Page(2_099, None)) == (names[:-1], True)
    assert await tags(house, Page(2_100, None)) == (names, False)


async def test_a_repository_without_tags_lists_none(house: House) -> None:
    await house.push(TEAM, None, IMAGE)
    assert await tags(house, ALL) == ([], False)


async def names(house: House, page: Page) -> tuple[list[str], bool]:
    answer = await house.hosting.catalog.list(page)
    return [str(repository) for repository in answer.repositories], answer.goes_on


async def test_the_catalog_has_what_is_hosted_and_what_is_cached_in_one_order(
    house: House,
) -> None:
    assert await names(house, ALL) == ([], False)
    for text in ("zoo", "a/b/c", "nginx", "docker"):
        await house.push(Repository(None, RepositoryName(text)), "latest", IMAGE)
    house.hub.push("library/nginx", "latest", IMAGE)
    await house.hosting.manifests.get(MIRROR, digest(IMAGE))
    await house.put_blobs(Repository(None, RepositoryName("only-blobs")), IMAGE.blobs)
    everything = ["a/b/c", "docker", "docker.io/library/nginx", "nginx", "zoo"]

    assert await names(house, ALL) == (everything, False)
    assert await names(house, Page(2, None)) == (everything[:2], True)
    assert await names(house, Page(3, "docker")) == (everything[2:], False)
    assert await names(house, Page(0, None)) == ([], False)
    await house.hosting.hosted.delete_manifest(NGINX, digest(IMAGE))
    assert await names(house, Page(1, "docker.io/library/nginx")) == (["zoo"], False)
    await fills_ended()


# Referrers.


async def referrers(
    house: House, kind: str | None = None, page: Page = ALL
) -> tuple[list[str], Digest | None]:
    answer = await house.hosting.referrers.list(TO_TEAM, SUBJECT, kind, page)
    return [str(referrer.digest) for referrer in answer.referrers], answer.goes_on_after


def notes(count: int, kind: str = NOTE) -> list[Image]:
    made = [make_artifact(IMAGE, f"{kind} {number}".encode(), kind) for number in range(count)]
    return sorted(made, key=lambda note: note.digest)


async def test_a_referrer_is_there_at_once_and_gone_at_once(house: House) -> None:
    assert await referrers(house) == ([], None)
    (note,) = notes(1)

    await house.push(TEAM, None, note)
    assert await referrers(house) == ([note.digest], None)

    await house.hosting.hosted.delete_manifest(TEAM, digest(note))
    assert await referrers(house) == ([], None)


async def test_a_referrer_is_described_as_the_specification_says(house: House) -> None:
    subject = descriptor(IMAGE.content, IMAGE.media_type)
    await house.push(TEAM, None, make_index([]))
    image = {
        "schemaVersion": 2,
        "mediaType": OCI.manifest,
        "config": descriptor(b"{}", "application/vnd.example.config"),
        "layers": [],
        "subject": subject,
        "annotations": {"org.example": 'é 🐋 "', "empty": ""},
    }
    index = {"schemaVersion": 2, "mediaType": OCI.index, "manifests": [], "subject": subject}
    typed = {**index, "artifactType": NOTE, "annotations": {"a": "b"}}
    await house.put_blobs(TEAM, {"config": b"{}"})
    expected = []
    for document, artifact_type in (
        (image, {"artifactType": "application/vnd.example.config"}),
        (index, {}),
        (typed, {"artifactType": NOTE}),
    ):
        content = encoded(document)
        pushed = PushedManifest(TEAM, _digest(content), content, str(document["mediaType"]))
        await house.hosting.hosted.push(pushed)
        entry: dict[str, object] = {**descriptor(content, str(document["mediaType"]))}
        entry |= artifact_type
        if "annotations" in document:
            entry["annotations"] = document["annotations"]
        expected.append(entry)

    answer = await house.hosting.referrers.list(TO_TEAM, SUBJECT, None, ALL)

    listed = _json(render_referrers(answer.referrers))
    assert listed["mediaType"] == OCI.index
    assert listed["manifests"] == sorted(expected, key=lambda entry: str(entry["digest"]))


async def test_referrers_of_one_type_in_pages(house: House) -> None:
    wanted, others = notes(5), notes(4, SCAN)
    for note in (*wanted, *others):
        await house.push(TEAM, None, note)
    digests = [note.digest for note in wanted]

    assert await referrers(house, NOTE) == (digests, None)
    assert await referrers(house, "application/absent") == ([], None)
    taken: list[str] = []
    last: str | None = None
    for size in (2, 2, 1):
        page, after = await referrers(house, NOTE, Page(2, last))
        assert len(page) == size
        taken += page
        last = None if after is None else str(after)
    assert (taken, last) == (digests, None)
    assert await referrers(house, None, Page(0, None)) == ([], None)
    with pytest.raises(DigestInvalid):
        await referrers(house, None, Page(2, "latest"))


async def test_more_referrers_than_are_asked_for_at_once(house: House) -> None:
    made = notes(recorded_referrers.STEP * 2)
    for note in made:
        await house.push(TEAM, None, note)
    digests = [note.digest for note in made]

    first, after = await referrers(house, None, Page(recorded_referrers.STEP, None))
    assert (first, str(after)) == (digests[: recorded_referrers.STEP], first[-1])
    assert await referrers(house, None, Page(recorded_referrers.STEP, str(after))) == (
        digests[recorded_referrers.STEP :],
        None,
    )
    assert (await referrers(house))[0] == digests


async def test_what_clients_list_themselves_is_folded_in(house: House) -> None:
    native, listed, gone = notes(3)
    await house.push(TEAM, None, native)
    # As it was pushed to a registry that knows no subjects.
    plain = make_index([OTHER])
    await house.push(TEAM, None, plain)
    index = encoded(
        {
            "schemaVersion": 2,
            "mediaType": OCI.index,
            "manifests": [
                {**descriptor(plain.content, plain.media_type), "artifactType": NOTE},
                {**descriptor(native.content, native.media_type), "artifactType": "wrong"},
            ],
        }
    )
    tag = referrers_tag(SUBJECT)
    assert tag.value == f"sha256-{SUBJECT.encoded}"
    await house.hosting.hosted.push(PushedManifest(TEAM, tag, index, OCI.index))

    everything = sorted([native.digest, plain.digest])
    assert await referrers(house) == (everything, None)
    assert await referrers(house, NOTE) == (everything, None)
    first, after = await referrers(house, None, Page(1, None))
    assert (first, after) == (everything[:1], parse_digest(everything[0]))
    assert await referrers(house, None, Page(1, first[0])) == (everything[1:], None)

    await house.hosting.hosted.delete_tag(TEAM, tag)
    assert await referrers(house) == ([native.digest], None)
    assert {listed.digest, gone.digest}.isdisjoint(everything)


async def test_what_clients_list_and_is_not_here_is_not_listed(house: House) -> None:
    plain = make_index([OTHER])
    await house.push(TEAM, None, plain)
    index = make_index([plain])
    await house.put(TEAM, referrers_tag(SUBJECT).value, index)
    assert await referrers(house) == ([plain.digest], None)

    await house.hosting.hosted.delete_manifest(TEAM, digest(index))
    await house.hosting.hosted.delete_manifest(TEAM, digest(plain))

    assert await referrers(house) == ([], None)


@pytest.mark.parametrize("name", ["manifest", "nonsense"])
async def test_a_tag_that_only_looks_like_a_list_is_none(house: House, name: str) -> None:
    await house.push(TEAM, referrers_tag(SUBJECT).value if name == "manifest" else name, OTHER)
    assert await referrers(house) == ([], None)


def test_the_tag_for_sha512_is_cut_to_what_a_tag_can_hold() -> None:
    subject = parse_digest(f"sha512:{'ab' * 64}")
    assert referrers_tag(subject).value == f"sha512-{'ab' * 32}"


@given(st.lists(st.integers(1, 3_000_000), max_size=6), st.integers(1, 4))
def test_a_page_is_never_larger_than_clients_take(sizes: Sequence[int], limit: int) -> None:
    sheet = ReferrersPage(None, limit)
    (entry,) = parse_referrers(_listing()) or ()
    for size in sizes:
        content = entry.content.ljust(size)
        if not sheet.takes(type(entry)(entry.digest, "", content)):
            break

    total = sum(len(referrer.content) for referrer in sheet.taken)
    assert len(sheet.taken) <= limit
    assert total <= ROOM or len(sheet.taken) == 1
    if sizes:
        assert sheet.taken


def _listing() -> bytes:
    return make_index([IMAGE]).content


def _digest(content: bytes) -> Digest:
    return parse_digest(str(descriptor(content, "")["digest"]))


def _json(content: bytes) -> dict[str, object]:
    document: dict[str, object] = json.loads(content)
    return document
