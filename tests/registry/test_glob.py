"""Patterns over names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.registry.glob import Glob


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("library/nginx", ["library/nginx"], ["library/nginx2", "my/library/nginx", "library"]),
        ("library/*", ["library/nginx", "library/a.b-c"], ["library/a/b", "library", "x/nginx"]),
        ("team/**", ["team/a", "team/a/b/c"], ["team", "teams/a", "my/team/a"]),
        ("**", ["a", "a/b", "a/b/c"], []),
        ("*", ["a"], ["a/b"]),
        ("**/nginx", ["library/nginx", "a/b/nginx"], ["nginx", "library/nginx2"]),
        ("*/*", ["a/b"], ["a", "a/b/c"]),
        ("library/*:*-nightly", ["library/go:1-nightly"], ["library/go:1", "go:1-nightly"]),
        ("**:latest", ["a/b:latest", "a:latest"], ["a/b:latest2"]),
        ("a?c", ["abc", "a-c"], ["ac", "a/c", "abbc"]),
        ("a.c", ["a.c"], ["abc"]),
        ("a+", ["a+"], ["aa", "a"]),
        ("[ab]", ["[ab]"], ["a", "b"]),
    ],
)
def test_what_a_pattern_matches(pattern: str, matching: list[str], others: list[str]) -> None:
    glob = Glob(pattern)
    assert [name for name in matching if not glob.matches(name)] == []
    assert [name for name in others if glob.matches(name)] == []


@given(st.text(alphabet="ab/.+?(){}[]^$|\\:-_", max_size=12))
def test_a_name_without_stars_matches_itself(text: str) -> None:
    assert Glob(text).matches(text)


def test_patterns_are_the_same_when_their_text_is() -> None:
    assert Glob("a/*") == Glob("a/*")
    assert repr(Glob("a/*")) == "Glob(text='a/*')"
