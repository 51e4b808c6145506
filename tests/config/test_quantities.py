from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.config.quantities import (
    parse_capacity,
    parse_duration,
    parse_flag,
    parse_percent,
    parse_size,
    parse_wait,
)
from tests.config.conftest import complaint_of


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("5m", timedelta(minutes=5)),
        ("90s", timedelta(seconds=90)),
        ("1h30m", timedelta(minutes=90)),
        ("250ms", timedelta(milliseconds=250)),
        ("7d", timedelta(days=7)),
        ("1d2h3m4s5ms", timedelta(days=1, hours=2, minutes=3, seconds=4, milliseconds=5)),
        ("1m500ms", timedelta(seconds=60.5)),
        ("1.5s", timedelta(milliseconds=1500)),
        ("0.1s", timedelta(milliseconds=100)),
        ("0s", timedelta(0)),
        ("36500d", timedelta(days=36500)),
    ],
)
def test_durations(text: str, duration: timedelta) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s",
        "m5",
        "5 m",
        "-5m",
        "+5m",
        "5M",
        "5min",
        "30m1h",
        "1h1h",
        "5w",
        "1e3s",
        "\u0665m",
        "5m\n",
    ],
)
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    assert "is not a duration: write for example 250ms" in complaint_of(parse_duration, text)


@pytest.mark.parametrize("text", ["5", "0", "1.5", "-5"])
def test_a_bare_number_is_refused_because_it_has_no_unit(text: str) -> None:
    assert "has no unit: write for example" in complaint_of(parse_duration, text)


@pytest.mark.parametrize("text", ["36500d1ms", "999999999999d"])
def test_more_than_a_century_is_refused(text: str) -> None:
    assert "longer than a hundred years" in complaint_of(parse_duration, text)


def test_a_wait_takes_some_time() -> None:
    assert parse_wait("1ms") == timedelta(milliseconds=1)
    assert "more than 0s" in complaint_of(parse_wait, "0m")


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=36500)))
def test_every_duration_can_be_written(duration: timedelta) -> None:
    days, rest = divmod(duration, timedelta(days=1))
    milliseconds, microseconds = divmod(rest, timedelta(milliseconds=1))
    fraction = f"{milliseconds}.{microseconds // timedelta(microseconds=1):03}"
    assert parse_duration(f"{days}d{fraction}ms") == duration


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("50GiB", 50 * 1024**3),
        ("500MB", 500 * 1000**2),
        ("1048576", 1048576),
        ("0", 0),
        ("12B", 12),
        ("1kib", 1024),
        ("1KB", 1000),
        ("2TiB", 2 * 1024**4),
        ("3PB", 3 * 1000**5),
        ("1.5GiB", 3 * 1024**3 // 2),
        ("9223372036854775807", 2**63 - 1),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "GiB", "50 GiB", "-1", "1e9", "50GiBi", "50Mio", "1_000", "\u0665"]
)
def test_what_is_no_size_is_refused_with_an_example(text: str) -> None:
    assert "is not a size: write for example 50GiB" in complaint_of(parse_size, text)


def test_an_ambiguous_unit_is_refused_with_both_readings() -> None:
    assert complaint_of(parse_size, "50g").endswith("write 50GiB or 50GB")
    assert complaint_of(parse_size, "50Gi").endswith("write 50GiB")


@pytest.mark.parametrize("text", ["9223372036854775808", "8192PiB"])
def test_a_size_fits_into_a_database(text: str) -> None:
    assert "more than any file system" in complaint_of(parse_size, text)


def test_a_capacity_holds_something() -> None:
    assert parse_capacity("1") == 1
    assert "more than 0" in complaint_of(parse_capacity, "0GiB")


@pytest.mark.parametrize(("text", "percent"), [("90%", 90.0), ("100%", 100.0), ("0.5%", 0.5)])
def test_percentages(text: str, percent: float) -> None:
    assert parse_percent(text) == percent


@pytest.mark.parametrize("text", ["90", "0.9", "", "%", "-1%", "90 %", "nan%"])
def test_a_percentage_has_its_sign(text: str) -> None:
    assert complaint_of(parse_percent, text).endswith("write for example 90%")


@pytest.mark.parametrize("text", ["0%", "100.1%", "101%"])
def test_a_percentage_is_a_part_of_something(text: str) -> None:
    assert "above 0% and at most 100%" in complaint_of(parse_percent, text)


def test_flags() -> None:
    assert all(parse_flag(text) for text in ("true", "True", "YES", "on"))
    assert not any(parse_flag(text) for text in ("false", "No", "off"))
    assert "neither true nor false" in complaint_of(parse_flag, "1")


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused_in_one_printable_line(text: str) -> None:
    for parse in (parse_duration, parse_size, parse_percent, parse_flag):
        assert complaint_of(parse, text).isprintable()
