"""Ranges: https://www.rfc-editor.org/rfc/rfc9110#section-14."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci.byte_range import (
    ByteRange,
    Unsatisfiable,
    content_range,
    parse_content_range,
    range_header,
    resolve_range,
    unsatisfied_range,
)
from tests.oci.budget import cpu_budget

SIZE = 2048
SIZES = st.integers(0, 50)
POSITIONS = st.integers(0, 60)


@pytest.mark.parametrize(
    ("header", "answer"),
    [
        ("bytes=500-1499", "206 bytes 500-1499/2048"),
        ("bytes=0-0", "206 bytes 0-0/2048"),
        ("bytes=2047-2047", "206 bytes 2047-2047/2048"),
        ("bytes=0-2047", "206 bytes 0-2047/2048"),
        ("bytes=0-", "206 bytes 0-2047/2048"),
        ("bytes=1000-", "206 bytes 1000-2047/2048"),
        ("bytes=2047-", "206 bytes 2047-2047/2048"),
        ("bytes=-1", "206 bytes 2047-2047/2048"),
        ("bytes=-500", "206 bytes 1548-2047/2048"),
        ("bytes=-2048", "206 bytes 0-2047/2048"),
        ("bytes=-5000", "206 bytes 0-2047/2048"),
        ("bytes=2000-5000", "206 bytes 2000-2047/2048"),
        ("bytes=2000-2048", "206 bytes 2000-2047/2048"),
        ("bytes=0-99999999999999999999999999", "206 bytes 0-2047/2048"),
        ("bytes=-99999999999999999999999999", "206 bytes 0-2047/2048"),
        ("bytes=" + "0" * 100 + "7-" + "0" * 100 + "9", "206 bytes 7-9/2048"),
        ("Bytes=1-2", "206 bytes 1-2/2048"),
        ("bytes= 1-2 ", "206 bytes 1-2/2048"),
        ("bytes=2048-", "416 bytes */2048"),
        ("bytes=2048-3000", "416 bytes */2048"),
        ("bytes=5000-10000", "416 bytes */2048"),
        ("bytes=500-0", "416 bytes */2048"),
        ("bytes=5000-0", "416 bytes */2048"),
        ("bytes=501-500", "416 bytes */2048"),
        ("bytes=-0", "416 bytes */2048"),
        ("bytes=" + "9" * 4000 + "-", "416 bytes */2048"),
        (None, "200"),
        ("", "200"),
        ("bytes", "200"),
        ("bytes=", "200"),
        ("bytes=-", "200"),
        ("bytes=a-b", "200"),
        ("bytes=1", "200"),
        ("bytes=1-2-3", "200"),
        ("bytes=--1", "200"),
        ("bytes=+1-2", "200"),
        ("bytes=1_0-2_0", "200"),
        ("bytes=1.0-2", "200"),
        ("bytes=0x1-0x2", "200"),
        ("bytes=1 - 2", "200"),
        ("bytes =1-2", "200"),
        ("bytes:1-2", "200"),
        ("1-2", "200"),
        ("items=1-2", "200"),
        ("mybytes=1-2", "200"),
        ("byteſ=1-2", "200"),  # noqa: RUF001 - an s only when case is ignored
        ("bytes=0-1,5-6", "200"),
        ("bytes=0-1, 5-6", "200"),
        ("bytes=0-1,", "200"),
        ("bytes=,0-1", "200"),
        ("bytes=1-2\n", "200"),
        ("bytes=1-2\r\nX: y", "200"),
        ("bytes=1-2\0", "200"),
        ("bytes=٣-٤", "200"),
        ("bytes=１-２", "200"),  # noqa: RUF001 - digits only to Unicode
        ("bytes=1-" + "9" * 5000, "200"),
    ],
)
def test_what_a_request_gets_from_a_blob_of_2048_bytes(header: str | None, answer: str) -> None:
    assert _answer(header, SIZE) == answer


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=-0", "bytes=5-9"])
def test_no_range_of_an_empty_blob_can_be_served(header: str) -> None:
    assert _answer(header, 0) == "416 bytes */0"


def test_an_empty_blob_is_served_whole() -> None:
    assert _answer(None, 0) == "200"


def test_a_header_beyond_the_limit_is_ignored() -> None:
    longest = "bytes=0-1" + " " * (4096 - 9)

    assert resolve_range(longest, SIZE) == ByteRange(0, 2)
    assert resolve_range(longest + " ", SIZE) is None


def _answer(header: str | None, size: int) -> str:
    match resolve_range(header, size):
        case None:
            return "200"
        case Unsatisfiable():
            return f"416 {unsatisfied_range(size)}"
        case ByteRange() as byte_range:
            return f"206 {content_range(byte_range, size)}"


@given(SIZES, POSITIONS, POSITIONS | st.none())
def test_a_range_is_what_slicing_gives(size: int, first: int, last: int | None) -> None:
    blob = bytes(range(size))
    resolved = resolve_range(f"bytes={first}-{'' if last is None else last}", size)
    expected = blob[first : None if last is None else last + 1]

    if isinstance(resolved, ByteRange):
        assert blob[resolved.start : resolved.stop] == expected
        assert resolved.length == len(expected) > 0
    else:
        assert resolved == Unsatisfiable()
        assert expected == b""


@given(SIZES, POSITIONS)
def test_a_suffix_is_the_end(size: int, length: int) -> None:
    blob = bytes(range(size))
    resolved = resolve_range(f"bytes=-{length}", size)
    expected = blob[max(0, size - length) :]

    if isinstance(resolved, ByteRange):
        assert blob[resolved.start : resolved.stop] == expected
    else:
        assert expected == b""


@given(st.text("bytes=-,0123456789 \n٣") | st.text(), SIZES)
def test_any_text_gets_an_answer_within_the_blob(header: str, size: int) -> None:
    resolved = resolve_range(header, size)

    if isinstance(resolved, ByteRange):
        assert 0 <= resolved.start < resolved.stop <= size


@given(SIZES, POSITIONS, POSITIONS)
def test_what_is_requested_is_what_is_served(size: int, start: int, length: int) -> None:
    requested = resolve_range(range_header(start, start + length + 1), 200)
    assert requested == ByteRange(start, start + length + 1)

    rest = resolve_range(range_header(start), size)
    assert rest == (ByteRange(start, size) if start < size else Unsatisfiable())


@given(POSITIONS, st.integers(1, 60), POSITIONS)
def test_a_content_range_comes_back(start: int, length: int, beyond: int) -> None:
    byte_range = ByteRange(start, start + length)
    size = byte_range.stop + beyond

    assert parse_content_range(content_range(byte_range, size)) == (byte_range, size)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bytes 0-0/1", (ByteRange(0, 1), 1)),
        ("bytes 5-9/*", (ByteRange(5, 10), None)),
        ("Bytes  5-9/10 ", (ByteRange(5, 10), 10)),
        ("bytes */10", None),
        ("bytes 5-4/10", None),
        ("bytes 0-10/10", None),
        ("bytes 0-9/9", None),
        ("bytes 0-", None),
        ("bytes 0-9", None),
        ("bytes=0-9/10", None),
        ("0-9/10", None),
        ("items 0-9/10", None),
        ("bytes 0-9/10\n", None),
        ("bytes ٣-٤/10", None),
        ("bytes 0-9/" + "9" * 19, None),
        ("bytes 0-" + "9" * 1_000_000 + "/*", None),
        ("", None),
    ],
)
def test_the_range_of_an_answer(text: str, expected: tuple[ByteRange, int | None] | None) -> None:
    assert parse_content_range(text) == expected


@pytest.mark.parametrize(
    "text",
    ["bytes=" + "0" * 1_000_000, "bytes=" + " " * 1_000_000, "bytes " * 200_000, "\t" * 10**6],
)
def test_a_megabyte_is_ignored_at_once(text: str) -> None:
    with cpu_budget(0.05):
        assert resolve_range(text, SIZE) is None
        assert parse_content_range(text) is None
