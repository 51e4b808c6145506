from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, literal, select, text, type_coerce

from mirror.metadata.columns import DigestText, Time
from mirror.oci.digest import digest_of
from mirror.ports.metadata import MetadataError

ENGINE = create_engine("sqlite://")


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_time_comes_back_to_the_microsecond(time: datetime) -> None:
    with ENGINE.connect() as connection:
        assert connection.scalar(select(literal(time, Time))) == time


def test_a_time_of_another_zone_is_the_same_moment() -> None:
    time = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=timezone(timedelta(hours=5)))

    with ENGINE.connect() as connection:
        found = connection.scalar(select(literal(time, Time)))

    assert found == time
    assert found is not None
    assert found.tzinfo is UTC


def test_a_time_without_a_zone_is_refused() -> None:
    naive = datetime(2026, 1, 2)  # noqa: DTZ001 - that is the mistake

    with ENGINE.connect() as connection, pytest.raises(Exception, match="offset-naive"):
        connection.scalar(select(literal(naive, Time)))


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_digest_comes_back(algorithm: str) -> None:
    digest = digest_of(b"x", algorithm)

    with ENGINE.connect() as connection:
        assert connection.scalar(select(literal(digest, DigestText))) == digest


def test_nothing_comes_back_as_nothing() -> None:
    with ENGINE.connect() as connection:
        found = connection.execute(
            select(type_coerce(text("NULL"), Time), type_coerce(text("NULL"), DigestText))
        ).one()

    assert tuple(found) == (None, None)


@pytest.mark.parametrize("damage", ["'x'", "x'00'", "9223372036854775807"])
@pytest.mark.parametrize("kind", [Time, DigestText])
def test_damage_is_told(kind: type[Time | DigestText], damage: str) -> None:
    with ENGINE.connect() as connection, pytest.raises(MetadataError, match="damaged"):
        connection.scalar(select(type_coerce(text(damage), kind())))
