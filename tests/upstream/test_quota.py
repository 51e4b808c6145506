from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from mirror.ports.upstream import Quota
from mirror.upstream.quota import is_current, parse_quota

NOW = datetime(2024, 5, 6, tzinfo=UTC)


def parsed(limit: str, remaining: str, source: str | None = None) -> Quota | None:
    headers = CIMultiDict({"RateLimit-Limit": limit, "RateLimit-Remaining": remaining})
    if source is not None:
        headers["Docker-RateLimit-Source"] = source
    return parse_quota(headers, NOW)


def test_what_docker_hub_says() -> None:
    assert parsed("100;w=21600", "76;w=21600", "192.0.2.7") == Quota(
        100, 76, 21600, "192.0.2.7", NOW
    )


@pytest.mark.parametrize(
    ("limit", "remaining", "expected"),
    [
        ("200;w=21600", "0;w=21600", (200, 0, 21600)),
        (" 100 ; w = 60 ", "5", (100, 5, 60)),
        ("100", "5;w=60", (100, 5, 60)),
    ],
)
def test_other_spellings(limit: str, remaining: str, expected: tuple[int, int, int]) -> None:
    quota = parsed(limit, remaining)
    assert quota is not None
    assert (quota.limit, quota.remaining, quota.window_seconds) == expected


@pytest.mark.parametrize(
    ("limit", "remaining"),
    [
        ("", ""),
        ("100;w=21600", ""),
        ("", "76;w=21600"),
        ("500", "499"),  # a limit of requests, not of pulls, as GitLab sends
        ("100, 100;w=60", "5"),
        ("-1;w=60", "5;w=60"),
        ("100;w=0", "5;w=0"),
        ("100;w=-1", "5;w=60"),
        ("1e3;w=60", "5;w=60"),
        ("٣;w=60", "5;w=60"),
        ("99999999999999999999;w=60", "5;w=60"),
        ("unlimited", "unlimited"),
    ],
)
def test_anything_else_means_unknown(limit: str, remaining: str) -> None:
    assert parsed(limit, remaining) is None


@pytest.mark.parametrize("source", ["", "a b", "\x1b[31m", "x" * 65, "<b>"])
def test_a_source_that_is_none_is_left_out(source: str) -> None:
    quota = parsed("100;w=60", "5;w=60", source)
    assert quota is not None
    assert quota.source is None


@given(limit=st.text(max_size=30), remaining=st.text(max_size=30))
def test_nothing_makes_it_raise(limit: str, remaining: str) -> None:
    parsed(limit, remaining)


def test_a_reading_is_good_for_its_window() -> None:
    quota = parsed("100;w=60", "0;w=60")
    assert quota is not None
    assert is_current(quota, NOW + timedelta(seconds=60))
    assert not is_current(quota, NOW + timedelta(seconds=61))
