"""Paths are read from the right, and what is nothing is told from what is malformed later."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.api.path import Resource, ResourcePath, parse_path

WORDS = ["manifests", "blobs", "tags", "list", "referrers", "uploads", "foo", "a.b", "_catalog"]
NAMES = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map("/".join)
ITEMS = st.sampled_from(["latest", "sha256:abc", "list", "tags", "x" * 200])


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a/manifests/1", (Resource.MANIFEST, "a", "1")),
        ("a/b/c/blobs/sha256:x", (Resource.BLOB, "a/b/c", "sha256:x")),
        ("a/tags/list", (Resource.TAGS, "a", "")),
        ("a/referrers/sha256:x", (Resource.REFERRERS, "a", "sha256:x")),
        ("a/blobs/uploads", (Resource.UPLOAD, "a", "")),
        ("a/blobs/uploads/", (Resource.UPLOAD, "a", "")),
        ("a/blobs/uploads/id", (Resource.UPLOAD, "a", "id")),
        ("manifests/manifests/manifests", (Resource.MANIFEST, "manifests", "manifests")),
        ("a/manifests/tags/list", (Resource.TAGS, "a/manifests", "")),
        ("a/tags/list/manifests/1", (Resource.MANIFEST, "a/tags/list", "1")),
        ("a/blobs/uploads/blobs/uploads/id", (Resource.UPLOAD, "a/blobs/uploads", "id")),
        ("A/../b/manifests/1", (Resource.MANIFEST, "A/../b", "1")),
        ("_catalog", (Resource.CATALOG, "", "")),
        ("_catalog/tags/list", (Resource.TAGS, "_catalog", "")),
    ],
)
def test_what_the_specification_knows(path: str, expected: tuple[Resource, str, str]) -> None:
    assert parse_path(path) == ResourcePath(*expected)


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "a", "a/b", "_catalog/", "manifests/1", "/manifests/1", "tags/list", "blobs/x"),
        *("a/manifests", "a/manifests/", "a/blobs/", "a/tags", "a/tags/list/", "a/Manifests/1"),
        *("a/manifests/1/", "a/blobs/uploads/id/more", "blobs/uploads/"),
    ],
)
def test_what_it_does_not(path: str) -> None:
    assert parse_path(path) is None


@given(name=NAMES, item=ITEMS, resource=st.sampled_from(["manifests", "blobs", "referrers"]))
def test_any_name_is_found_again(name: str, item: str, resource: str) -> None:
    """Unless what follows it has a meaning of its own, such as `tags/list`."""
    parsed = parse_path(f"{name}/{resource}/{item}")
    assert parsed is not None
    if not name.endswith("blobs") or resource != "uploads":
        assert parsed == ResourcePath(Resource(resource), name, item)


@given(st.text("abmnifestlogu/%.\0\\:_ ", max_size=60) | st.text(max_size=60))
def test_nothing_is_lost_or_invented(path: str) -> None:
    parsed = parse_path(path)
    if parsed is None or parsed.resource is Resource.CATALOG:
        return
    assert parsed.name
    assert path.startswith(f"{parsed.name}/")
    assert path.endswith(parsed.item)
