"""What an upstream says of its pull limit. Absent or unreadable headers mean unknown, not zero.

https://docs.docker.com/docker-hub/usage/pulls/
"""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta

from mirror.ports.upstream import Quota

_NUMBER = r"([0-9]{1,9})"
_COUNT = re.compile(rf"{_NUMBER}(?:\s*;\s*w\s*=\s*{_NUMBER})?", re.ASCII)
_SOURCE = re.compile(r"[0-9A-Za-z.:/_-]{1,64}", re.ASCII)


def parse_quota(headers: Mapping[str, str], observed_at: datetime) -> Quota | None:
    """``headers`` are looked up in any case. None where limit, rest or window are missing."""
    limit = _COUNT.fullmatch(headers.get("ratelimit-limit", "").strip())
    remaining = _COUNT.fullmatch(headers.get("ratelimit-remaining", "").strip())
    if limit is None or remaining is None:
        return None
    window = limit[2] or remaining[2]
    if window is None or int(window) == 0:
        return None
    return Quota(
        limit=int(limit[1]),
        remaining=int(remaining[1]),
        window_seconds=int(window),
        source=_parse_source(headers.get("docker-ratelimit-source", "").strip()),
        observed_at=observed_at,
    )


def is_current(quota: Quota, now: datetime) -> bool:
    """Whether the window it speaks of has not passed yet."""
    return now - quota.observed_at <= timedelta(seconds=quota.window_seconds)


def _parse_source(text: str) -> str | None:
    return text if _SOURCE.fullmatch(text) else None
