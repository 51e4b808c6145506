"""What a client hears when the upstream will not answer and nothing is held. Pure.

A client that came by the mirror has the origin to fall back on: a fast 404 sends every client
there, while a 429 or 5xx makes some of them wait first. A client that named the upstream in the
path has only us and gets the truth. An upstream's 401 is never passed on: dockerd would answer it
with its user's Docker Hub password.
"""

import math
from typing import Literal

from mirror.oci.errors import (
    BlobUnknown,
    ManifestUnknown,
    NameUnknown,
    OCIError,
    TooManyRequests,
    Unavailable,
    UpstreamFault,
)
from mirror.ports.upstream import (
    UpstreamDenied,
    UpstreamError,
    UpstreamThrottled,
    UpstreamUnreachable,
)
from mirror.registry.routing import Approach

RETRY_AFTER = 10
"""Seconds to wait where nothing keeps us from asking the upstream again at once."""

What = Literal["manifest", "blob", "tags", "referrers"]


def absent(what: What, message: str | None = None) -> OCIError:
    match what:
        case "blob":
            return BlobUnknown(message)
        case "tags":
            return NameUnknown(message)
        case "manifest" | "referrers":
            return ManifestUnknown(message)


def refuse(what: What, approach: Approach, error: UpstreamError) -> OCIError:
    """The error to answer with."""
    if approach is Approach.MIRROR or isinstance(error, UpstreamDenied):
        return absent(what, f"{what} not available through this mirror: {error}")
    known = None if error.retry_after is None else math.ceil(error.retry_after)
    wait = RETRY_AFTER if known is None else known
    if isinstance(error, UpstreamThrottled):
        return TooManyRequests(str(error), retry_after=wait)
    if isinstance(error, UpstreamUnreachable):
        return Unavailable(str(error), retry_after=wait)
    return UpstreamFault(str(error), retry_after=known)
