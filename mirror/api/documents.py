"""What the admin API says, as it stands in JSON. The OpenAPI document is made from these classes.

The commands read the same classes, so nothing here may import the web framework. Fields are only
ever added: other people's scripts depend on the names.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Count = Annotated[int, Meta(ge=0)]
Size = Annotated[int, Meta(ge=0, description="In bytes.")]
Seconds = Annotated[float, Meta(ge=0)]
Moment = Annotated[datetime, Meta(tz=True)]
Share = Annotated[float, Meta(ge=0, le=1)]
DigestText = Annotated[str, Meta(description="algorithm:hex", pattern="^[a-z0-9+._-]+:[a-f0-9]+$")]


class Requests(msgspec.Struct, frozen=True):
    """Answers on /v2/ by what the cache did for them, since the first start of the server."""

    hit: Count
    miss: Count
    stale: Count
    revalidated: Count
    hosted: Count
    error: Count


class Traffic(msgspec.Struct, frozen=True):
    """Bytes of content since the first start of the server.

    saved: what clients got without an upstream having to send it again.
    """

    served: Size
    from_upstream: Size
    saved: Size


class Storage(msgspec.Struct, frozen=True):
    """What is stored, and how much may be.

    bytes counts each blob once, manifests included; hosted_bytes of them belong to repositories
    that are hosted here and never go by themselves. When the others exceed max_bytes, the least
    recently used images go until low_bytes are left; min_free_bytes of the file system stay free.
    """

    blobs: Count
    bytes: Size
    hosted_bytes: Size
    manifests: Count
    repositories: Count
    max_bytes: Size
    low_bytes: Size
    free_bytes: Size
    total_bytes: Size
    min_free_bytes: Size


class Quota(msgspec.Struct, frozen=True):
    """What the upstream last said of its pull limit. source: whom it counts, as it said."""

    limit: Count
    remaining: Count
    window_seconds: Count
    source: str | None
    observed_at: Moment


class Upstream(msgspec.Struct, frozen=True):
    """How an upstream does, and what went on with it since the server was started.

    reason and retry_at explain a state that is not ok. tokens are the requests to its token
    service. quota is null until the upstream has told of it: unknown is not zero.
    """

    state: Literal["ok", "throttled", "failing"]
    reason: str | None
    retry_at: Moment | None
    requests: Count
    errors: Count
    bytes: Size
    tokens: Count
    quota: Quota | None


class Webhook(msgspec.Struct, frozen=True):
    """How it goes with a webhook. queued: events that wait. failures: attempts in a row that it
    did not take, and reason and retry_at explain them.

    delivered and dropped are events, failed are attempts, since the first start of the server.
    """

    queued: Count
    failures: Count
    reason: str | None
    retry_at: Moment | None
    delivered: Count
    failed: Count
    dropped: Count


class Evicted(msgspec.Struct, frozen=True):
    """Manifests and blobs that were evicted, since the first start of the server."""

    count: Count
    bytes: Size


class PastCollection(msgspec.Struct, frozen=True):
    """A collection that ended since the server was started. failure says what broke it off."""

    began_at: Moment
    seconds: Seconds
    count: Count
    bytes: Size
    failure: str | None


class Collector(msgspec.Struct, frozen=True):
    """The collection of what was pushed and is not needed any more.

    every_seconds and next_run_at are null when it is run on demand only. A blob that nothing needs
    is kept for grace_seconds after it was last pushed, linked, asked for or used.
    """

    every_seconds: Count | None
    grace_seconds: Count
    running: bool
    next_run_at: Moment | None
    last_run: PastCollection | None


class Garbage(msgspec.Struct, frozen=True):
    """Collections, failed ones not counted, and the blobs and dead links of repositories that they
    deleted, since the first start of the server.
    """

    runs: Count
    count: Count
    bytes: Size
    links: Count
    schedule: Collector


class Stats(msgspec.Struct, frozen=True):
    """fills: downloads under way. hit_ratio: answers that needed no download, of all that could
    have. quarantined: blobs taken out of service because they were damaged.
    """

    version: str
    uptime_seconds: Count
    offline: bool
    fills: Count
    requests: Requests
    bytes: Traffic
    hit_ratio: Share
    storage: Storage
    evictions: Evicted
    quarantined: Count
    upstreams: dict[str, Upstream]
    webhooks: dict[str, Webhook]
    gc: Garbage


class Image(msgspec.Struct, frozen=True):
    """A tag of a repository, or an untagged manifest that no index lists.

    repository begins with the upstream's name; upstream is null for what is hosted here. bytes are
    those stored for it, shared_bytes those of them that other images need too. complete:
    everything of at least one platform is stored. platforms are those its index names.
    """

    repository: str
    upstream: str | None
    tag: str | None
    digest: DigestText
    media_type: str
    bytes: Size
    shared_bytes: Size
    complete: bool
    platforms: list[str]
    confirmed_at: Moment | None
    last_used_at: Moment | None


class Images(msgspec.Struct, frozen=True):
    """A page. next is what to send as last for the next one, null at the end."""

    images: list[Image]
    next: str | None


class EvictionRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """dry_run: say what would go, and let it stay."""

    dry_run: bool = False


class Victim(msgspec.Struct, frozen=True):
    """A manifest with its tags, or a blob that no manifest needs (repository is null).

    bytes are those its going frees: 0 while other images need them.
    """

    repository: str | None
    tags: list[str]
    digest: DigestText
    bytes: Size
    last_used_at: Moment


class Kept(msgspec.Struct, frozen=True):
    """How many were old enough to go and stayed, and why."""

    reason: str
    count: Count


class Eviction(msgspec.Struct, frozen=True):
    """What an eviction did, or would do. count is that of all victims, of which some are named."""

    dry_run: bool
    reason: str
    needed_bytes: Size
    freed_bytes: Size
    count: Count
    victims: list[Victim]
    kept: list[Kept]


class CollectionRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """dry_run: say what would go, and let it stay."""

    dry_run: bool = False


class Portion(msgspec.Struct, frozen=True):
    """How many blobs, of how many bytes, share the reason."""

    reason: str
    count: Count
    bytes: Size


class CollectedBlob(msgspec.Struct, frozen=True):
    """A blob that no manifest needs. idle_since is when it was last pushed, linked, asked for or
    used.
    """

    digest: DigestText
    bytes: Size
    reason: str
    idle_since: Moment


class Undeleted(msgspec.Struct, frozen=True):
    """Blobs whose rows are gone and whose files are not."""

    count: Count
    bytes: Size


class Protected(msgspec.Struct, frozen=True):
    """When the first and the last of the blobs that are too young may go."""

    first: Moment
    last: Moment


class Collection(msgspec.Struct, frozen=True):
    """What a collection did, or would do. count is that of all blobs, of which some are named.

    reasons counts what went, kept what nothing needs and stayed; protected is null unless some of
    it is too young. undeleted are blobs among the reasons whose files could not be deleted now and
    are removed later; count and freed_bytes are without them. links are the links of repositories
    to blobs that none of their manifests needs; null in a dry run, which cannot tell.
    """

    dry_run: bool
    began_at: Moment
    seconds: Seconds
    grace_seconds: Count
    freed_bytes: Size
    count: Count
    links: Count | None
    reasons: list[Portion]
    blobs: list[CollectedBlob]
    kept: list[Portion]
    protected: Protected | None
    undeleted: Undeleted


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that is wrong. code is one of the distribution specification."""

    code: str
    message: str
    detail: Any = None


class Problems(msgspec.Struct, frozen=True):
    """Why a request was not answered."""

    errors: list[Problem]
