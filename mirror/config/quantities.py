"""Durations, sizes, percentages and yes/no as people write them; text in, value out.

Every `parse_…` raises `ValueError` whose text says what is wrong and what would be right.
"""

import re
from datetime import timedelta
from decimal import Decimal

from mirror.config.problems import shown

_NUMBER = r"\d{1,12}(?:\.\d{1,6})?"
_BARE = re.compile(rf"-?{_NUMBER}", re.ASCII)
_DURATION = re.compile(
    rf"(?:(?P<d>{_NUMBER})d)?(?:(?P<h>{_NUMBER})h)?(?:(?P<m>{_NUMBER})m)?"
    rf"(?:(?P<s>{_NUMBER})s)?(?:(?P<ms>{_NUMBER})ms)?",
    re.ASCII,
)
_MICROSECONDS = {"d": 86_400_000_000, "h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000}
_MICROSECONDS["ms"] = 1_000
_LONGEST = timedelta(days=36_500)

_SIZE = re.compile(r"(?P<number>\d{1,19}(?:\.\d{1,6})?)(?P<unit>[a-z]*)", re.ASCII | re.IGNORECASE)
_PREFIXES = "kmgtp"
_BYTES = (
    {"": 1, "b": 1}
    | {f"{prefix}b": 1000**power for power, prefix in enumerate(_PREFIXES, 1)}
    | {f"{prefix}ib": 1024**power for power, prefix in enumerate(_PREFIXES, 1)}
)
_LARGEST = 2**63 - 1

_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,3})?)%", re.ASCII)
_FLAGS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def parse_duration(text: str) -> timedelta:
    """`250ms`, `90s`, `5m`, `1h30m`, `7d`: units from large to small, each at most once."""
    if _BARE.fullmatch(text):
        raise ValueError(f"{shown(text)} has no unit: write for example {text.lstrip('-')}s or 5m")
    match = _DURATION.fullmatch(text)
    if not text or match is None:
        raise ValueError(
            f"{shown(text)} is not a duration: write for example 250ms, 90s, 5m, 1h30m or 7d"
        )
    counts = {unit: Decimal(count) for unit, count in match.groupdict().items() if count}
    microseconds = sum(count * _MICROSECONDS[unit] for unit, count in counts.items())
    if microseconds > _LONGEST / timedelta(microseconds=1):
        raise ValueError(f"{shown(text)} is longer than a hundred years")
    return timedelta(microseconds=round(microseconds))


def parse_wait(text: str) -> timedelta:
    """A duration that is longer than nothing."""
    duration = parse_duration(text)
    if not duration:
        raise ValueError(f"{shown(text)} leaves no time at all: it must be more than 0s")
    return duration


def parse_schedule(text: str) -> timedelta | None:
    """How often something happens; None for `off`, `0` and `0s`."""
    if text.lower() in ("off", "0"):
        return None
    return parse_duration(text) or None


def parse_size(text: str) -> int:
    """Bytes, from `50GiB` (powers of 1024), `500MB` (powers of 1000) or a bare number."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(_no_size(text))
    number, unit = match["number"], match["unit"].lower()
    if unit not in _BYTES:
        raise ValueError(_unclear_unit(text, number, unit))
    size = int(Decimal(number) * _BYTES[unit])
    if size > _LARGEST:
        raise ValueError(f"{shown(text)} is more than any file system holds")
    return size


def parse_capacity(text: str) -> int:
    """A size that is more than nothing."""
    size = parse_size(text)
    if not size:
        raise ValueError(f"{shown(text)} holds nothing: it must be more than 0")
    return size


def parse_percent(text: str) -> float:
    """Above 0 and up to 100, with its sign: `90%`."""
    match = _PERCENT.fullmatch(text)
    if match is None:
        raise ValueError(f"{shown(text)} is not a percentage: write for example 90%")
    percent = float(match[1])
    if not 0 < percent <= 100:  # noqa: PLR2004 - a hundred per cent is everything
        raise ValueError(f"{shown(text)} is out of range: it must be above 0% and at most 100%")
    return percent


def parse_flag(text: str) -> bool:
    try:
        return _FLAGS[text.lower()]
    except KeyError:
        raise ValueError(f"{shown(text)} is neither true nor false") from None


def _no_size(text: str) -> str:
    return f"{shown(text)} is not a size: write for example 50GiB, 500MB or a number of bytes"


def _unclear_unit(text: str, number: str, unit: str) -> str:
    prefix = unit[:1].upper()
    if unit.endswith("i") and f"{unit}b" in _BYTES:
        return f"{shown(text)} lacks its B: write {number}{prefix}iB"
    if f"{unit}b" in _BYTES:
        return f"{shown(text)} can be read two ways: write {number}{prefix}iB or {number}{prefix}B"
    return _no_size(text)
