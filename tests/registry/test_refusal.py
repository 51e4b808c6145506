"""What a client hears when the upstream will not answer."""

import pytest

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
    UpstreamFailed,
    UpstreamInvalid,
    UpstreamThrottled,
    UpstreamUnreachable,
)
from mirror.registry.refusal import RETRY_AFTER, What, absent, refuse
from mirror.registry.routing import Approach

ERRORS = (
    UpstreamUnreachable("docker.io: no answer"),
    UpstreamDenied("docker.io: not for us"),
    UpstreamThrottled("docker.io: too many", 7.2),
    UpstreamFailed("docker.io: 500"),
    UpstreamInvalid("docker.io: html"),
    UpstreamError("docker.io: of a kind that is not known yet"),
)
UNKNOWN: dict[What, type[OCIError]] = {
    "manifest": ManifestUnknown,
    "blob": BlobUnknown,
    "tags": NameUnknown,
    "referrers": ManifestUnknown,
}
WHATS: list[What] = list(UNKNOWN)


@pytest.mark.parametrize("what", WHATS)
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_who_has_the_origin_is_sent_there_at_once(what: What, error: UpstreamError) -> None:
    refusal = refuse(what, Approach.MIRROR, error)
    assert type(refusal) is UNKNOWN[what]
    assert refusal.status == 404
    assert str(error) in refusal.message
    assert refusal.retry_after is None


@pytest.mark.parametrize("what", WHATS)
@pytest.mark.parametrize(
    ("error", "kind", "status", "retry_after"),
    [
        (UpstreamUnreachable("no answer"), Unavailable, 503, RETRY_AFTER),
        (UpstreamUnreachable("no answer", 54.3), Unavailable, 503, 55),
        (UpstreamThrottled("too many", 7.2), TooManyRequests, 429, 8),
        (UpstreamThrottled("too many", 7.0), TooManyRequests, 429, 7),
        (UpstreamThrottled("too many", 0.0), TooManyRequests, 429, 0),
        (UpstreamThrottled("too many"), TooManyRequests, 429, RETRY_AFTER),
        (UpstreamFailed("500"), UpstreamFault, 502, None),
        (UpstreamFailed("500", 59.9), UpstreamFault, 502, 60),
        (UpstreamInvalid("html"), UpstreamFault, 502, None),
        (UpstreamError("new"), UpstreamFault, 502, None),
    ],
)
def test_who_has_only_us_hears_the_truth(
    what: What,
    error: UpstreamError,
    kind: type[OCIError],
    status: int,
    retry_after: int | None,
) -> None:
    refusal = refuse(what, Approach.DIRECT, error)
    assert type(refusal) is kind
    assert (refusal.status, refusal.retry_after) == (status, retry_after)
    assert str(error) in refusal.message


@pytest.mark.parametrize("what", WHATS)
@pytest.mark.parametrize("approach", Approach)
def test_an_upstreams_401_is_never_passed_on(what: What, approach: Approach) -> None:
    # dockerd would answer it with its user's password.
    refusal = refuse(what, approach, UpstreamDenied("login wrong"))
    assert type(refusal) is UNKNOWN[what]
    assert refusal.status == 404


@pytest.mark.parametrize("what", WHATS)
def test_absence_has_a_code_of_its_own(what: What) -> None:
    assert type(absent(what)) is UNKNOWN[what]
    assert absent(what, "gone").message == "gone"
