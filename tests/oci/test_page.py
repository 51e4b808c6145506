"""Pagination: https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#listing-tags."""

from bisect import bisect_right
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mirror.oci.errors import PaginationNumberInvalid
from mirror.oci.page import Page, next_link, parse_next_link, parse_page
from tests.oci.budget import cpu_budget

MAXIMUM = 1000


@pytest.mark.parametrize(
    ("n", "limit"),
    [
        (None, None),
        ("", None),
        ("0", 0),
        ("1", 1),
        ("007", 7),
        ("999", 999),
        ("1000", 1000),
        ("1001", 1000),
        ("9" * 5000, 1000),
        ("0" * 5000 + "5", 5),
    ],
)
def test_the_number_of_results(n: str | None, limit: int | None) -> None:
    assert parse_page(n, None, MAXIMUM) == Page(limit, None)


@pytest.mark.parametrize(
    "n", ["-1", "+1", "1.0", "1e3", "ten", " 1", "1 ", "1\n", "1_0", "0x1", "٣", "1\0", "²"]
)
def test_what_is_no_number_is_refused(n: str) -> None:
    with pytest.raises(PaginationNumberInvalid, match="use 0 to 1000"):
        parse_page(n, None, MAXIMUM)


@pytest.mark.parametrize("last", [None, ""])
def test_no_last_is_the_first_page(last: str | None) -> None:
    assert parse_page("2", last, MAXIMUM) == Page(2, None)


def test_last_need_not_be_a_legal_tag() -> None:
    assert parse_page(None, "v1/é &", MAXIMUM) == Page(None, "v1/é &")


@given(
    st.lists(st.text("ab", min_size=1, max_size=255), max_size=8),
    st.text("abc\0") | st.builds(str.__mul__, st.sampled_from("abc"), st.integers(200, 400)),
)
@example(["a" * 255], "a" * 300)
@example(["a" * 254], "a" * 254 + "b")
def test_a_shortened_last_stands_at_the_same_place(names: list[str], last: str) -> None:
    ordered = sorted(names)
    kept = parse_page(None, last, MAXIMUM).last or ""

    assert "\0" not in kept
    assert len(kept) <= 256
    assert ordered[bisect_right(ordered, kept) :] == ordered[bisect_right(ordered, last) :]


def test_the_link_to_the_next_page() -> None:
    link = next_link("/v2/library/nginx/tags/list", 2, "b")
    assert link == '</v2/library/nginx/tags/list?n=2&last=b>; rel="next"'


def test_the_link_stays_in_the_namespace() -> None:
    link = next_link("/v2/a/tags/list", 2, "b", {"ns": "ghcr.io>; x", "artifactType": None})
    assert link == '</v2/a/tags/list?n=2&last=b&ns=ghcr.io%3E%3B%20x>; rel="next"'


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(0, 1000))
@example("a&n=9#b+c%20/>; é", 2)
def test_any_last_survives_the_link(last: str, limit: int) -> None:
    link = next_link("/v2/_catalog", limit, last)
    target = parse_next_link(link)

    assert link.isascii()
    assert target is not None
    split = urlsplit(target)
    assert split.path == "/v2/_catalog"
    assert parse_qs(split.query, keep_blank_values=True) == {"n": [str(limit)], "last": [last]}


@pytest.mark.parametrize(
    ("header", "target"),
    [
        ('</v2/a/tags/list?n=2&last=b>; rel="next"', "/v2/a/tags/list?n=2&last=b"),
        ("<x>; rel=next", "x"),
        ("<x>;rel=next", "x"),
        (' <x> ; rel = "next" ', "x"),
        ("<x>; REL=NEXT", "x"),
        ('<x>; rel="prev next"', "x"),
        ('<x>; title="a, <y>; rel=prev"; rel="next"', "x"),
        (r'<x>; title="a\"; rel=prev"; rel="next"', "x"),
        ('<p>; rel="prev", <x>; rel="next"', "x"),
        ("<p>;rel=prev,<x>;rel=next,<y>;rel=next", "x"),
        ("<a,b;c>; rel=next", "a,b;c"),
        ("<https://h:1/v2/a?b=c&d=%2F>; rel=next; title=z", "https://h:1/v2/a?b=c&d=%2F"),
        ("<x>; flag; rel=next", "x"),
        ("<>; rel=next", ""),
        ("<x>; rel=prev; rel=next", None),
        ("<x>; rel=prev", None),
        ("<x>; rel=nextish", None),
        ('<x>; title="rel=next"', None),
        ("<x>", None),
        ("x; rel=next", None),
        ("<x; rel=next", None),
        ("", None),
        (", ,", None),
    ],
)
def test_the_next_page_of_an_upstream(header: str, target: str | None) -> None:
    assert parse_next_link(header) == target


@given(st.text('<>;,="\\ relnxt'))
def test_any_text_is_read_without_failing(header: str) -> None:
    target = parse_next_link(header)
    assert target is None or f"<{target}>" in header


@pytest.mark.parametrize(
    "piece",
    ["<x>; rel=prev, ", "<", '<x>; a="', "<x>" + "; a=b" * 10, '\\"', " ", "<x>;", '<x>; a="\\'],
)
def test_hostile_links_are_read_in_linear_time(piece: str) -> None:
    with cpu_budget(0.5):
        for header in (piece * (8192 // len(piece)), '<x>; a="' + piece * (8000 // len(piece))):
            for _ in range(10):
                assert parse_next_link(header) is None
        assert parse_next_link(piece * 1_000_000) is None
