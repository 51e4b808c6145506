"""Names, tags and references as they come in a URL."""

import pytest
from docker_image.reference import ImageRegexps
from hypothesis import example, given
from hypothesis import strategies as st

from mirror.oci.digest import Digest, digest_of
from mirror.oci.errors import DigestInvalid, ManifestUnknown, NameInvalid, TagInvalid
from mirror.oci.reference import (
    RepositoryName,
    Tag,
    parse_reference,
    parse_repository_name,
    parse_tag,
)
from tests.oci.budget import cpu_budget

DIGEST = str(digest_of(b""))
NAME_LIKE = st.text("ab09._-/A:\n", max_size=24)
TAG_LIKE = st.text("aZ09._-: \n", max_size=140)


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "0",
        "nginx",
        "library/nginx",
        "a/b/c/d/e",
        "foo.bar",
        "foo_bar",
        "foo__bar",
        "foo-bar",
        "foo---bar",
        "docker.io/library/nginx",
        "deadbeef" * 8,
        "foo/manifests/bar",
        "foo/blobs/uploads",
        "tags/list",
        "/".join(["a"] * 128),
        "a" * 255,
        "/".join(["abcde"] * 40) + "/" + "x" * 15,
    ],
)
def test_a_name_of_the_specification_is_accepted(text: str) -> None:
    name = parse_repository_name(text)

    assert str(name) == text
    assert name.components == tuple(text.split("/"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        "Library/Nginx",
        "library/Nginx",
        "a..b",
        "a.-b",
        "a-_b",
        "a___b",
        "_a",
        "-a",
        ".a",
        "a.",
        "a_",
        "a-",
        "..",
        ".",
        "../../etc/passwd",
        "a/../b",
        "a/./b",
        "a\\b",
        "a\0b",
        "a b",
        "a\n",
        "\na",
        "a\r",
        "a%2fb",
        "a⁄b",  # noqa: RUF001 - a slash only to the eye
        "аb",  # noqa: RUF001 - Cyrillic
        "é",
        "a٣",
        "a３",  # noqa: RUF001 - a digit only to Unicode
        "a:b",
        "localhost:5000/a",
        "a@b",
        "a" * 256,
        "/".join(["a"] * 129),
        "a/" * 200,
    ],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(NameInvalid) as caught:
        parse_repository_name(text)

    assert caught.value.message.isascii()
    assert caught.value.message.isprintable()


def test_the_message_says_what_to_change() -> None:
    with pytest.raises(NameInvalid, match="must be in lower case"):
        parse_repository_name("Library/Nginx")
    with pytest.raises(NameInvalid, match="empty component"):
        parse_repository_name("a//b")
    with pytest.raises(NameInvalid, match="longer than 255"):
        parse_repository_name("a" * 256)
    with pytest.raises(NameInvalid, match=r"'b\.\.c' may have lower-case"):
        parse_repository_name("a/b..c")


def _is_name(text: str) -> bool:
    try:
        return str(parse_repository_name(text)) == text
    except NameInvalid:
        return False


@given(NAME_LIKE | st.from_regex(r"\A" + ImageRegexps.REMOTE_NAME_REGEXP.pattern + r"\Z"))
@example("a\n")
def test_an_independent_implementation_agrees_on_names(text: str) -> None:
    expected = ImageRegexps.REMOTE_NAME_REGEXP.fullmatch(text) is not None and len(text) <= 255

    assert _is_name(text) == expected


@given(TAG_LIKE)
@example("a" * 128)
@example("a" * 129)
@example("a\n")
def test_an_independent_implementation_agrees_on_tags(text: str) -> None:
    expected = ImageRegexps.TAG_REGEXP.fullmatch(text) is not None
    try:
        accepted = parse_tag(text) == Tag(text)
    except TagInvalid:
        accepted = False

    assert accepted == expected


@given(st.text(max_size=40))
def test_a_reference_is_a_tag_or_a_digest_or_a_client_error(text: str) -> None:
    try:
        outcome = str(parse_reference(text))
    except DigestInvalid:
        outcome = text if ":" in text else "refused as a digest"
    except ManifestUnknown:
        outcome = text if ":" not in text else "refused as a tag"

    assert outcome == text


@pytest.mark.parametrize(
    "text",
    ["latest", "v1.2.3", "1", "_", "A", "a" * 128, "sha256-" + "a" * 64, "sha256-abc.sig", "a..b"],
)
def test_a_tag_is_read_and_written(text: str) -> None:
    assert parse_reference(text) == parse_tag(text) == Tag(text)


def test_a_digest_is_read_as_a_digest() -> None:
    assert parse_reference(DIGEST) == Digest("sha256", DIGEST[7:])


@pytest.mark.parametrize(
    "text",
    [
        ".INVALID_MANIFEST_NAME",
        "-a",
        "",
        "a" * 129,
        "..",
        "a/b",
        "a b",
        "a\n",
        "a\0",
        "a\\b",
        "tag٣",
        "étiquette",
        "latest@",
    ],
)
def test_what_is_no_tag_is_not_there_for_readers_and_invalid_for_writers(text: str) -> None:
    with pytest.raises(ManifestUnknown):
        parse_reference(text)
    with pytest.raises(TagInvalid):
        parse_tag(text)


@pytest.mark.parametrize("text", ["sha256:totallywrong", "latest:", ":", DIGEST + "0", "a:b"])
def test_what_has_a_colon_is_judged_as_a_digest(text: str) -> None:
    with pytest.raises(DigestInvalid):
        parse_reference(text)
    with pytest.raises(TagInvalid):
        parse_tag(text)


@pytest.mark.parametrize(
    "text",
    [
        "a" * 1_000_000,
        "a/" * 500_000,
        "-" * 1_000_000,
        "a" + "-" * 1_000_000 + "!",
        "a_" * 500_000,
        "é" * 1_000_000,
    ],
)
def test_a_megabyte_is_refused_at_once(text: str) -> None:
    with cpu_budget(0.1):
        with pytest.raises(NameInvalid):
            parse_repository_name(text)
        with pytest.raises(ManifestUnknown):
            parse_reference(text)


@pytest.mark.parametrize("text", ["a" + "-" * 253 + "!", "a-" * 127 + "!", "a__" * 85])
def test_the_longest_names_do_not_backtrack(text: str) -> None:
    with cpu_budget(0.5):
        for _ in range(1000):
            assert not _is_name(text)


def test_names_are_values() -> None:
    assert len({parse_repository_name("a/b"), RepositoryName("a/b"), RepositoryName("a")}) == 2
