"""Image names as people type them: what ``docker pull`` makes of them."""

import pytest
from docker_image.digest import InvalidDigest
from docker_image.reference import InvalidReference
from docker_image.reference import Reference as Oracle
from hypothesis import example, given
from hypothesis import strategies as st

from mirror.oci.digest import digest_of
from mirror.oci.errors import NameInvalid
from mirror.oci.reference import ImageName, RepositoryName, Tag, parse_image_name
from tests.oci.budget import cpu_budget

DIGEST = str(digest_of(b""))
HEX = DIGEST[7:]

HOSTS = [
    *("", "docker.io/", "index.docker.io/", "localhost/", "localhost:5000/", "ghcr.io/"),
    *("docker.io:443/", "DOCKER.IO/", "Foo/", "foo/", "library/", "[::1]/", "[fd00::1]:5000/"),
    *("my_host.com/", "a..b/", "-a.com/", "a-.com/", "a.com:/", ":5000/", "a.b:5000:6000/", "/"),
    *("[::1/", "::1/", "127.0.0.1:5000/", "foo:99999/", "[]/", "[g::]/", "a--b.com/", "./"),
]
TAGS = ["", ":", ":latest", ":v1.2.3-rc_1", ":-a", ":" + "a" * 128, ":" + "a" * 129, ":a:b", ":A"]
DIGESTS = [
    "",
    "@",
    "@" + DIGEST,
    "@sha256:abc",
    "@" + DIGEST.upper(),
    "@latest",
    f"@{DIGEST}@{DIGEST}",
]
PATHS = st.text("ab0._-/", min_size=1, max_size=12) | st.sampled_from(
    ["nginx", "library/nginx", "a/b/c", "Nginx", "a/B", "a" * 255, "a" * 256, "a" * 247, "a" * 248]
)
IMAGE_LIKE = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(HOSTS),
    PATHS,
    st.sampled_from(TAGS),
    st.sampled_from(DIGESTS),
) | st.text("aB0._-/:@[]", max_size=20)


def _by_oracle(text: str) -> str | None:
    try:
        reference = Oracle.parse_normalized_named(text)
    except (InvalidReference, InvalidDigest):
        return None
    tag = reference["tag"] or (None if reference["digest"] else "latest")
    name: str = reference["name"]
    with_tag = f"{name}:{tag}" if tag else name
    return f"{with_tag}@{reference['digest']}" if reference["digest"] else with_tag


def _by_us(text: str) -> str | None:
    try:
        return str(parse_image_name(text))
    except NameInvalid:
        return None


@given(IMAGE_LIKE)
@example("Foo/bar")
@example(HEX)
@example("localhost")
@example("docker.io")
@example("a" * 247)
@example("a" * 248)
def test_an_independent_implementation_agrees(text: str) -> None:
    assert _by_us(text) == _by_oracle(text)


@given(IMAGE_LIKE)
def test_what_is_printed_can_be_typed(text: str) -> None:
    canonical = _by_us(text)
    if canonical is None:
        return
    image = parse_image_name(canonical)

    assert str(image) == canonical
    assert parse_image_name(image.familiar) == image


@pytest.mark.parametrize(
    ("text", "canonical", "familiar"),
    [
        ("nginx", "docker.io/library/nginx:latest", "nginx:latest"),
        ("nginx:1.27", "docker.io/library/nginx:1.27", "nginx:1.27"),
        ("library/nginx", "docker.io/library/nginx:latest", "nginx:latest"),
        ("docker.io/nginx", "docker.io/library/nginx:latest", "nginx:latest"),
        ("index.docker.io/library/nginx", "docker.io/library/nginx:latest", "nginx:latest"),
        ("grafana/grafana", "docker.io/grafana/grafana:latest", "grafana/grafana:latest"),
        ("library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest"),
        (f"nginx@{DIGEST}", f"docker.io/library/nginx@{DIGEST}", f"nginx@{DIGEST}"),
        (f"nginx:1@{DIGEST}", f"docker.io/library/nginx:1@{DIGEST}", f"nginx:1@{DIGEST}"),
        ("localhost/a", "localhost/a:latest", "localhost/a:latest"),
        ("localhost:5000/a:b", "localhost:5000/a:b", "localhost:5000/a:b"),
        ("ghcr.io/a/b/c:d", "ghcr.io/a/b/c:d", "ghcr.io/a/b/c:d"),
        ("[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000/a:latest"),
        ("docker.io:443/nginx", "docker.io:443/nginx:latest", "docker.io:443/nginx:latest"),
        ("Foo/bar", "Foo/bar:latest", "Foo/bar:latest"),
        ("localhost", "docker.io/library/localhost:latest", "localhost:latest"),
        (f"{HEX}:latest", f"docker.io/library/{HEX}:latest", f"{HEX}:latest"),
    ],
)
def test_dockers_normalisation(text: str, canonical: str, familiar: str) -> None:
    image = parse_image_name(text)

    assert str(image) == canonical
    assert image.familiar == familiar


def test_the_parts_of_an_image_name() -> None:
    digest = digest_of(b"")

    assert parse_image_name(f"ghcr.io/a/b:c@{DIGEST}") == ImageName(
        "ghcr.io", RepositoryName("a/b"), Tag("c"), digest
    )
    assert parse_image_name("a") == ImageName(
        "docker.io", RepositoryName("library/a"), Tag("latest"), None
    )
    assert parse_image_name(f"a@{DIGEST}").tag is None


def test_the_digest_wins_over_the_tag() -> None:
    assert parse_image_name(f"a:b@{DIGEST}").reference == digest_of(b"")
    assert parse_image_name("a:b").reference == Tag("b")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (HEX, "is an image ID"),
        ("", "empty component"),
        ("Nginx", "lower case"),
        ("ghcr.io/A/b", "lower case"),
        ("my_host.com/a", "not a host"),
        ("a.b" * 100 + "/a", "not a host"),
        ("nginx:", "is not a tag"),
        ("nginx:" + "a" * 129, "is not a tag"),
        ("nginx@", "is not a digest"),
        ("nginx@sha256:abc", "64 lower-case hex digits"),
        ("nginx@sha384:" + "a" * 96, "unsupported"),
        ("https://docker.io/nginx", "not a host"),
        ("nginx\n", "may have lower-case letters"),
        ("nginx:latest\n", "is not a tag"),
        (f"nginx@{DIGEST}\n", "is not a digest"),
        ("ghcr.io\n/nginx", "not a host"),
        ("ghcr.io:٣/nginx", "not a host"),
        ("nginx\0", "may have lower-case letters"),
    ],
)
def test_a_refusal_gives_the_reason(text: str, reason: str) -> None:
    with pytest.raises(NameInvalid, match=reason):
        parse_image_name(text)


@pytest.mark.parametrize(
    "text",
    [
        "a" * 1_000_000,
        "a." * 500_000 + "/a",
        "a-" * 500_000 + ".x/a",
        "-" * 1_000_000 + ":",
        "a:" + "b" * 1_000_000,
        "a@" + "b:" * 500_000,
        "/" * 1_000_000,
        "[" + ":" * 1_000_000 + "/a",
    ],
)
def test_a_megabyte_is_refused_at_once(text: str) -> None:
    with cpu_budget(0.1), pytest.raises(NameInvalid) as caught:
        parse_image_name(text)

    assert len(caught.value.message) < 600
