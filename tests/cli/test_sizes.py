"""Sizes, counts, shares and times as people read them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.cli.sizes import format_count, format_share, format_size
from mirror.cli.times import format_moment, format_span

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1024**2 - 1, "1.0 MiB"),
        (50 * 1024**3, "50.0 GiB"),
        (1024**4 * 3 // 2, "1.5 TiB"),
        (1024**7, "1024.0 EiB"),
    ],
)
def test_a_size_has_a_unit_that_fits(size: int, text: str) -> None:
    assert format_size(size) == text


@given(st.integers(min_value=0, max_value=1024**6))
def test_no_size_is_longer_than_a_column(size: int) -> None:
    text = format_size(size)
    number, _, unit = text.partition(" ")
    assert len(text) <= len("1023.9 MiB")
    assert float(number) < 1024
    assert abs(
        float(number) * 1024 ** ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"].index(unit) - size
    ) <= max(0.06 * size, 1)


@pytest.mark.parametrize(
    ("count", "noun", "text"),
    [
        (0, "blob", "0 blobs"),
        (1, "blob", "1 blob"),
        (1234567, "manifest", "1,234,567 manifests"),
        (1, "repository", "1 repository"),
        (2, "repository", "2 repositories"),
    ],
)
def test_a_count_agrees_with_its_noun(count: int, noun: str, text: str) -> None:
    assert format_count(count, noun) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0.0%"), (0.5, "50.0%"), (0.98765, "98.8%"), (0.99999, "99.9%"), (1.0, "100.0%")],
)
def test_only_all_of_it_is_a_hundred_per_cent(share: float, text: str) -> None:
    assert format_share(share) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 hour"),
        (7200, "2 hours"),
        (86_400, "1 day"),
        (86_400 * 1000, "1,000 days"),
    ],
)
def test_a_span_is_told_in_its_largest_unit(seconds: float, text: str) -> None:
    assert format_span(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-90, "1 min ago"), (90, "in 1 min"), (0, "now"), (0.5, "now"), (-0.5, "now")],
)
def test_a_moment_is_told_from_now(seconds: float, text: str) -> None:
    assert format_moment(NOW + timedelta(seconds=seconds), NOW) == text


def test_what_never_was_is_never() -> None:
    assert format_moment(None, NOW) == "never"
