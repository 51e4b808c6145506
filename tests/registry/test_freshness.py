"""How long a tag is served without asking."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci.reference import RepositoryName, Tag
from mirror.registry.freshness import FreshnessPolicy, FreshnessRule, remaining
from mirror.registry.glob import Glob

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
MOMENT = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("age", "lifetime", "left"),
    [
        (timedelta(0), 5 * MINUTE, 5 * MINUTE),
        (2 * MINUTE, 5 * MINUTE, 3 * MINUTE),
        (5 * MINUTE - MOMENT, 5 * MINUTE, MOMENT),
        (5 * MINUTE, 5 * MINUTE, timedelta(0)),
        (timedelta(days=3650), 5 * MINUTE, timedelta(0)),
        (timedelta(0), timedelta(0), timedelta(0)),
        # Confirmed in the future: a clock that jumped back.
        (-MOMENT, 5 * MINUTE, timedelta(0)),
        (-timedelta(days=3650), timedelta(days=36500), timedelta(0)),
    ],
)
def test_what_is_left(age: timedelta, lifetime: timedelta, left: timedelta) -> None:
    assert remaining(NOW - age, lifetime, NOW) == left


@given(
    st.timedeltas(timedelta(days=-4000), timedelta(days=4000)),
    st.timedeltas(timedelta(0), timedelta(days=400)),
)
def test_a_tag_is_never_fresh_for_longer_than_its_lifetime(
    age: timedelta, lifetime: timedelta
) -> None:
    assert timedelta(0) <= remaining(NOW - age, lifetime, NOW) <= lifetime


POLICY = FreshnessPolicy(
    default=5 * MINUTE,
    rules=(
        FreshnessRule(Glob("library/*:*-nightly"), MINUTE),
        FreshnessRule(Glob("library/**"), timedelta(hours=1)),
        FreshnessRule(Glob("library/go:1-nightly"), timedelta(0)),
        FreshnessRule(Glob("**:latest"), timedelta(0)),
    ),
)


@pytest.mark.parametrize(
    ("name", "tag", "lifetime"),
    [
        ("library/go", "1-nightly", MINUTE),
        ("library/go", "1", timedelta(hours=1)),
        ("library/go", "latest", timedelta(hours=1)),
        ("team/app", "latest", timedelta(0)),
        ("team/app", "1", 5 * MINUTE),
    ],
)
def test_the_first_rule_that_matches_decides(name: str, tag: str, lifetime: timedelta) -> None:
    assert POLICY.lifetime(RepositoryName(name), Tag(tag)) == lifetime
