"""The bounds and the strictness with which manifests are read."""

import json
from bisect import bisect_left
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci.document import Document, parse_document, require_document
from mirror.oci.errors import ManifestInvalid
from tests.oci.budget import cpu_budget

DEEP = 100_000
KEYS = [
    "mediaType",
    "schemaVersion",
    "manifests",
    "config",
    "layers",
    "blobs",
    "subject",
    "fsLayers",
]


def _value(key: str) -> str:
    return {"mediaType": '"a/b"', "schemaVersion": "2"}.get(key, "null")


@pytest.mark.parametrize("key", KEYS)
def test_a_key_given_twice_is_refused(key: str) -> None:
    once = f'"{key}":{_value(key)}'

    assert require_document(f"{{{once}}}".encode()) is not None
    with pytest.raises(ManifestInvalid, match=f"the key {key} is given twice"):
        require_document(f"{{{once},{once}}}".encode())
    with pytest.raises(ManifestInvalid, match=f"the key {key} is given twice"):
        require_document(f'{{{once},"x":[{{}}],"{_escaped(key)}":{_value(key)}}}'.encode())


def _escaped(key: str) -> str:
    return "".join(f"\\u{ord(character):04x}" for character in key)


@pytest.mark.parametrize(
    "key", ["Manifests", "LAYERS", "mediatype", "f\u017fLayers", "manife\u017fts"]
)
def test_a_key_that_go_would_take_for_another_is_refused(key: str) -> None:
    with pytest.raises(ManifestInvalid, match="must be written"):
        require_document(json.dumps({key: None}).encode())
    with pytest.raises(ManifestInvalid, match="must be written"):
        require_document(json.dumps({key: None}, ensure_ascii=False).encode())


def test_keys_may_be_repeated_where_nobody_reads_them() -> None:
    content = b'{"x":1,"x":2,"annotations":{"mediaType":"a","mediaType":"b"},"config":{"layers":1}}'
    assert require_document(content) == parse_document(content)


def test_keys_of_nested_objects_are_not_those_of_the_document() -> None:
    content = b'{"config":{"mediaType":"a/b"},"layers":[{"mediaType":"c/d"}],"mediaType":"e/f"}'
    assert require_document(content).media_type == "e/f"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b'{"x":"\xff"}', id="invalid UTF-8 in a value"),
        pytest.param(b'{"\xc0\xaf":1}', id="invalid UTF-8 in a key"),
        pytest.param(b'{"x":"\xed\xa0\x80"}', id="encoded surrogate"),
        pytest.param(b'{"x":"\\ud800"}', id="lone surrogate"),
        pytest.param(b'{"x":NaN}', id="NaN"),
        pytest.param(b'{"x":1,}', id="trailing comma"),
        pytest.param(b"{'x':1}", id="single quotes"),
        pytest.param(b'{"x":1}x', id="trailing bytes"),
        pytest.param(b'{"x":1}\0', id="trailing NUL"),
        pytest.param(b'{"x":"\n"}', id="control character"),
        pytest.param(b"\xef\xbb\xbf{}", id="byte order mark"),
        pytest.param('{"x":1}'.encode("utf-16"), id="UTF-16"),
        pytest.param(b"[{}]", id="an array"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_what_readers_may_take_differently_is_refused(content: bytes) -> None:
    with pytest.raises(ManifestInvalid):
        require_document(content)


@pytest.mark.parametrize(
    "content",
    [
        b'{"x":' + b"9" * 100_000 + b"}",
        b'{"x":1e999999}',
        b'{"x":-0.0}',
        b'{"x":"\\u0000"}',
        b" {} ",
    ],
)
def test_what_nobody_reads_may_be_odd(content: bytes) -> None:
    assert require_document(content) == Document()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b'{"x":' + b"[" * DEEP + b"]" * DEEP + b"}", id="nested arrays"),
        pytest.param(b'{"layers":' + b"[" * DEEP + b"]" * DEEP + b"}", id="nested layers"),
        pytest.param(b'{"a":' * DEEP + b"1" + b"}" * DEEP, id="nested objects"),
        pytest.param(b"[" * (4 << 20), id="nothing but brackets"),
        pytest.param(b'{"layers":[' + b",".join([b"{}"] * 1_000_000) + b"]}", id="descriptors"),
        pytest.param(b'{"x":[' + b",".join([b"1"] * 1_000_000) + b"]}", id="numbers"),
        pytest.param(b'{"x":1' + b',"x":1' * 600_000 + b"}", id="members"),
    ],
)
def test_a_bomb_is_refused_at_once(content: bytes) -> None:
    with cpu_budget(0.1):
        assert parse_document(content) is None
    with cpu_budget(0.1), pytest.raises(ManifestInvalid):
        require_document(content)


@pytest.mark.parametrize(("opening", "closing"), [(b'{"a":', b"}"), (b"[", b"]")])
def test_no_depth_falls_between_the_two_parsers(opening: bytes, closing: bytes) -> None:
    def nested(depth: int) -> bytes:
        return b'{"x":' + opening * depth + b"1" + closing * depth + b"}"

    # Where that is depends on the interpreter and on how deep the stack is already.
    deepest = bisect_left(range(DEEP), 1, key=lambda depth: parse_document(nested(depth)) is None)

    assert require_document(nested(deepest // 2)) == Document()
    for depth in range(deepest - 100, deepest + 100):
        with suppress(ManifestInvalid):
            require_document(nested(depth))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b'{"x":[' + b",".join([b"[]"] * 99_000) + b"]}", id="arrays"),
        pytest.param(b'{"x":[' + b",".join([b"{}"] * 99_000) + b"]}", id="objects"),
        pytest.param(
            b"{" + b",".join(b'"%x":1' % number for number in range(199_000)) + b"}", id="members"
        ),
        pytest.param(b'{"x":"' + b"\\n" * 2_000_000 + b'"}', id="a string of escapes"),
        pytest.param(b'{"x":"' + b"x" * 4_000_000 + b'"}', id="a string"),
    ],
)
def test_the_most_complicated_document_allowed_is_cheap_enough(content: bytes) -> None:
    with cpu_budget(0.5):
        assert require_document(content) == Document()


@given(st.binary(max_size=60) | st.text('{}[]",:\\udaen0123').map(str.encode))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    try:
        document: Document | None = require_document(content)
    except ManifestInvalid:
        document = None

    assert document is None or document == parse_document(content)
    if document is not None:
        assert isinstance(json.loads(content), dict)
