"""Moments and spans of time as people say them."""

from datetime import datetime

_UNITS = (("day", 86_400), ("hour", 3600), ("min", 60))
_SOON = 1


def format_span(seconds: float) -> str:
    """``45 s``, ``3 min``, ``1 hour``, ``12 days``."""
    for unit, length in _UNITS:
        count = int(seconds // length)
        if count:
            return f"{count:,} {unit}{'s' if count > 1 and unit != 'min' else ''}"
    return f"{int(seconds)} s"


def format_moment(moment: datetime | None, now: datetime) -> str:
    """``3 min ago``, ``in 40 s``, ``never``. Clocks may differ: what is nearly now is now."""
    if moment is None:
        return "never"
    seconds = (now - moment).total_seconds()
    if abs(seconds) < _SOON:
        return "now"
    return f"{format_span(seconds)} ago" if seconds > 0 else f"in {format_span(-seconds)}"
