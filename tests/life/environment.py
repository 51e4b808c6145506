"""Settings of servers under test, as the environment variables that hold them."""

from collections.abc import Mapping
from pathlib import Path

from tests.simulated_hub import SimulatedHub

IMPATIENT = {
    "MIRROR__TIMEOUTS__CONNECT": "500ms",
    "MIRROR__TIMEOUTS__HEADERS": "500ms",
    "MIRROR__TIMEOUTS__PROGRESS": "500ms",
    "MIRROR__TIMEOUTS__STALE_AFTER": "200ms",
    "MIRROR__TIMEOUTS__DRAIN": "500ms",
}
"""Waits that a test has time for."""


def mirror_of(
    hub: SimulatedHub, *, freshness: str = "5m", more: Mapping[str, str] | None = None
) -> dict[str, str]:
    """A mirror of this hub as docker.io."""
    return mirror_of_url(hub.url, hub.token_host, freshness=freshness, more=more)


def mirror_of_url(
    url: str, *realms: str, freshness: str = "5m", more: Mapping[str, str] | None = None
) -> dict[str, str]:
    named = ", ".join(f'"{realm}"' for realm in realms)
    return {
        "MIRROR__UPSTREAMS": (
            f'{{docker.io: {{url: "{url}", realms: [{named}], freshness: {freshness}}}}}'
        ),
        "MIRROR__CACHE__MIN_FREE": "1MiB",
        **(more or {}),
    }


def stored_files(data: Path) -> list[Path]:
    """Every blob's file."""
    return sorted(path for path in (data / "blobs").rglob("*") if path.is_file())
