"""Headers of content answers: what the content is, and what the cache did to get it."""

from collections.abc import Mapping, Sequence

from mirror.oci.digest import Digest
from mirror.registry.answer import Handling
from mirror.registry.statistics import Result

API_VERSION = ("Docker-Distribution-Api-Version", "registry/2.0")

FOR_EVER = "max-age=31536000, immutable, no-transform"
"""A digest never changes; a proxy that compressed it would drop its length."""

LONGEST_WARNING = 1024


def cache_status(handling: Handling) -> str:
    """https://www.rfc-editor.org/rfc/rfc9211.html"""
    parts = ["mirror"]
    match handling.result:
        case Result.HIT | Result.HOSTED | Result.STALE:
            parts.append("hit")
        case Result.REVALIDATED:
            parts.append("fwd=stale")
        case _:
            parts.append("fwd=miss")
            if handling.stored:
                parts.append("stored")
    if handling.ttl is not None:
        parts.append(f"ttl={handling.ttl}")
    if handling.detail is not None:
        parts.append(f"detail={_quoted(f'stale: {handling.detail}')}")
    elif handling.result in {Result.REVALIDATED, Result.HOSTED}:
        parts.append(f"detail={handling.result.value}")
    return "; ".join(parts)


def warning(handling: Handling) -> str | None:
    """What containerd and regclient show to the user, when the answer is not current.

    https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#warnings
    """
    if handling.detail is None:
        return None
    return f"299 - {_quoted(f'served from the cache of this mirror: {handling.detail}')}"


def without_content(headers: Mapping[str, str]) -> dict[str, str]:
    """For a 304, which has no content: a length or a type would speak of one."""
    return {
        name: value
        for name, value in headers.items()
        if name not in {"Content-Length", "Content-Type"}
    }


def entity_tag(digest: Digest) -> str:
    return f'"{digest}"'


def matches_entity_tag(headers: Sequence[str], digest: Digest) -> bool:
    """Whether an ``If-None-Match`` names the digest, quoted, weak or (as some clients do) bare."""
    candidates = (part.strip() for header in headers for part in header.split(","))
    wanted = str(digest)
    return any(
        candidate == "*" or candidate.removeprefix("W/").strip('"') == wanted
        for candidate in candidates
    )


def _quoted(text: str) -> str:
    """A quoted string of printable ASCII: upstream messages are hostile text."""
    safe = "".join(letter if " " <= letter <= "~" else "?" for letter in text[:LONGEST_WARNING])
    escaped = safe.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
