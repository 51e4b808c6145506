import pytest

from mirror.config.patterns import parse_references, parse_repositories
from tests.config.conftest import complaint_of


@pytest.mark.parametrize("text", ["**", "*", "library/*", "team/app-*/**", "a.b_c/d"])
def test_patterns_over_repositories(text: str) -> None:
    assert parse_repositories(text) == text


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("", 'write "**"'),
        ("Library/*", "lower case"),
        ("library/nginx:1", "without a tag or a digest"),
        ("library/nginx@sha256:00", "without a tag or a digest"),
        ("/library", "matches nothing"),
        ("library/", "matches nothing"),
        ("a//b", "matches nothing"),
        ("a?", "matches nothing"),
        ("[ab]", "matches nothing"),
        ("a b", "matches nothing"),
        ("a\n", "matches nothing"),
        ("é", "matches nothing"),
        ("a/***", "is not a pattern"),
        ("a" * 256, "is not a pattern"),
    ],
)
def test_what_could_never_match_is_refused(text: str, advice: str) -> None:
    assert advice in complaint_of(parse_repositories, text)
    assert complaint_of(parse_references, text) if ":" not in text else True


def test_patterns_over_tags() -> None:
    assert parse_references("library/*:*-Nightly") == "library/*:*-Nightly"
    assert parse_references("**:latest") == "**:latest"


def test_without_a_colon_every_tag_is_meant() -> None:
    assert parse_references("team/app") == "team/app:*"


@pytest.mark.parametrize("text", ["a:", "a:b:c", "a:b/c", "a:**", "a:b c"])
def test_what_cannot_be_a_tag_is_refused(text: str) -> None:
    assert "no pattern for tags" in complaint_of(parse_references, text)
