"""Digests: https://github.com/opencontainers/image-spec/blob/v1.1.1/descriptor.md#digests."""

import hashlib

import pytest
from docker_image import digest as oracle
from hypothesis import example, given
from hypothesis import strategies as st

from mirror.oci.digest import Digest, digest_of, is_digest_like, parse_digest
from mirror.oci.errors import DigestInvalid
from tests.oci.budget import cpu_budget

SHA256 = "sha256:" + "0123456789abcdef" * 4
SHA512 = "sha512:" + "0123456789abcdef" * 8


@pytest.mark.parametrize("text", [SHA256, SHA512])
def test_a_digest_is_what_was_written(text: str) -> None:
    digest = parse_digest(text)

    assert str(digest) == text
    assert digest == Digest(*text.split(":"))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param(":", id="only the colon"),
        pytest.param("sha256:", id="no hex"),
        pytest.param(SHA256[7:], id="no algorithm"),
        pytest.param("sha256:totallywrong", id="no hex digits"),
        pytest.param(SHA256[:-1], id="63 characters"),
        pytest.param(SHA256 + "0", id="65 characters"),
        pytest.param("sha256:" + SHA256[7:].upper(), id="upper-case hex"),
        pytest.param(SHA256.upper(), id="upper case"),
        pytest.param("sha512:" + SHA512[7:].upper(), id="upper-case hex of sha512"),
        pytest.param("sha512:" + SHA256[7:], id="64 characters of sha512"),
        pytest.param("sha256:" + SHA512[7:], id="128 characters of sha256"),
        pytest.param(SHA256 + "\n", id="newline at the end"),
        pytest.param("\n" + SHA256, id="newline at the start"),
        pytest.param(SHA256 + " ", id="blank at the end"),
        pytest.param(SHA256[:-1] + "\0", id="NUL"),
        pytest.param(SHA256[:-1] + "٣", id="Arabic digit"),
        pytest.param(SHA256[:-1] + "３", id="full-width digit"),  # noqa: RUF001 - the point of the case
        pytest.param("sha256::" + SHA256[7:], id="two colons"),
        pytest.param("sha256:" + SHA256, id="twice"),
        pytest.param("sha256%3A" + SHA256[7:], id="still encoded"),
        pytest.param("../" + SHA256, id="a path"),
    ],
)
def test_what_is_no_digest_is_refused(text: str) -> None:
    with pytest.raises(DigestInvalid):
        parse_digest(text)


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha384", "blake3", "sha256+b64u", "unknown"])
def test_an_algorithm_we_cannot_verify_is_named_as_unsupported(algorithm: str) -> None:
    with pytest.raises(DigestInvalid, match="unsupported, use sha256 or sha512"):
        parse_digest(f"{algorithm}:{'a' * 64}")


def test_the_message_tells_what_is_wrong_and_is_fit_for_a_log() -> None:
    with pytest.raises(DigestInvalid) as caught:
        parse_digest("sha256:\x1b[31m\r\nEvil: header" + "x" * 10_000)

    assert caught.value.message.isascii()
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 300


@given(
    st.from_regex(oracle.DigestRegexps.DIGEST_REGEXP_ANCHORED.pattern) | st.text(":abc059_=.+-\n")
)
@example(SHA256)
@example(SHA512)
def test_an_independent_implementation_agrees(text: str) -> None:
    try:
        oracle.validate_digest(text)
        expected = not text.startswith("sha384:")
    except oracle.InvalidDigest:
        expected = False
    try:
        accepted = str(parse_digest(text)) == text
    except DigestInvalid:
        accepted = False

    assert accepted == expected


@given(st.sampled_from(["sha256", "sha512"]), st.binary(max_size=200))
def test_a_digest_matches_its_content_and_no_other(algorithm: str, content: bytes) -> None:
    digest = digest_of(content, algorithm)

    assert digest.matches(content)
    assert not digest.matches(content + b"\0")
    assert parse_digest(str(digest)) == digest
    assert digest.encoded == hashlib.new(algorithm, content).hexdigest()


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_content_in_pieces_hashes_as_content_in_one(algorithm: str) -> None:
    digest = digest_of(b"layer", algorithm)
    hasher = digest.hasher()
    hasher.update(b"lay")
    fork = hasher.copy()
    hasher.update(memoryview(b"er"))

    assert hasher.hexdigest() == digest.encoded
    assert fork.hexdigest() == digest_of(b"lay", algorithm).encoded


def test_the_digest_of_nothing_is_the_known_one() -> None:
    known = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert str(digest_of(b"")) == known


def test_a_colon_makes_a_digest() -> None:
    assert is_digest_like("sha256:totallywrong")
    assert not is_digest_like("sha256-" + "a" * 64)


@pytest.mark.parametrize(
    "text",
    ["sha256:" + "a" * 1_000_000, "a." * 500_000 + ":a", "a" * 1_000_000, ":" * 1_000_000],
)
def test_a_megabyte_is_refused_at_once(text: str) -> None:
    with cpu_budget(0.05), pytest.raises(DigestInvalid):
        parse_digest(text)
