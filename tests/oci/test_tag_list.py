"""Lists of tags as registries really send them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci.reference import Tag
from mirror.oci.tag_list import MOST_TAGS, parse_tag_list
from tests.oci.budget import cpu_budget


@pytest.mark.parametrize(
    ("content", "tags"),
    [
        (b'{"name":"a/b","tags":["1","latest"]}', ["1", "latest"]),
        (b'{"tags":["b","a","b"]}', ["b", "a", "b"]),
        (b'{"name":"a/b","tags":[]}', []),
        (b'{"name":"a/b","tags":null}', []),
        # What Google adds.
        (
            b'{"child":["x"],"manifest":{"sha256:1":{"tag":["1","2"]}},"name":"a","tags":["1"]}',
            ["1"],
        ),
        (b'{"tags":["ok","","-x",".x","a b","a/b","\\u00e9","\\u0000","x\\n"]}', ["ok"]),
        (b'{"tags":["' + b"x" * 128 + b'","' + b"x" * 129 + b'"]}', ["x" * 128]),
    ],
)
def test_the_tags_that_could_be_asked_for(content: bytes, tags: list[str]) -> None:
    assert parse_tag_list(content) == tuple(map(Tag, tags))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html></html>",
        b"[]",
        b'{"name":"a/b"}',
        b'{"tags":"latest"}',
        b'{"tags":[1]}',
        b'{"tags":{"a":1}}',
        b'{"tags":["a"',
        b'{"tags":["\xff"]}',
        b'{"errors":[{"code":"UNKNOWN"}]}',
        b'{"tags":' + b"[" * 100_000,
    ],
)
def test_what_is_no_list(content: bytes) -> None:
    assert parse_tag_list(content) is None


@given(st.binary() | st.binary().map(lambda inner: b'{"tags":[' + inner + b"]}"))
def test_any_bytes_are_read_without_failing(content: bytes) -> None:
    parse_tag_list(content)


def test_there_is_a_most() -> None:
    def listing(count: int) -> bytes:
        return b'{"tags":[' + b",".join([b'"1"'] * count) + b"]}"

    most = parse_tag_list(listing(MOST_TAGS))
    assert most is not None
    assert len(most) == MOST_TAGS
    assert parse_tag_list(listing(MOST_TAGS + 1)) is None
    with cpu_budget(1.0):
        assert parse_tag_list(listing(4_000_000)) is None
