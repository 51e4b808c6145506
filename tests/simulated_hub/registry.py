"""What the registry port answers once a request was let in. No faults here: the hub behaves."""

from dataclasses import dataclass, replace
from typing import Protocol

from tests.simulated_hub.cdn import Cdn
from tests.simulated_hub.log import Request
from tests.simulated_hub.ranges import serve_bytes
from tests.simulated_hub.reply import (
    API_VERSION,
    Headers,
    Reply,
    content,
    document,
    failure,
    redirect,
    text,
)
from tests.simulated_hub.repositories import Manifest, Repositories, Repository

INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
PULL_LIMIT = (
    "You have reached your unauthenticated pull rate limit. You may increase the limit by "
    "authenticating and upgrading: https://www.docker.com/increase-rate-limit"
)


@dataclass(frozen=True, slots=True)
class Quota:
    """Pulls allowed in `window` seconds. Only a manifest GET counts, as at Docker Hub."""

    limit: int = 100
    remaining: int = 100
    window: int = 21600
    source: str = "192.0.2.7"
    retry_after: int | None = None

    @property
    def headers(self) -> Headers:
        return (
            ("ratelimit-limit", f"{self.limit};w={self.window}"),
            ("ratelimit-remaining", f"{self.remaining};w={self.window}"),
            ("docker-ratelimit-source", self.source),
        )


@dataclass(frozen=True, slots=True)
class Redirects:
    """Statuses with which content is sent elsewhere; None serves it here."""

    blobs: int | None = None
    manifests: int | None = None
    relative: bool = False
    """Blobs only: a Location without scheme and host, served by the registry port."""
    heads: bool = True
    """Whether HEAD of a blob is redirected too (the CDN will refuse it)."""


class Settings(Protocol):
    repositories: Repositories
    cdn: Cdn
    quota: Quota | None
    redirects: Redirects
    ranges: bool
    strict_accept: bool

    @property
    def cdn_url(self) -> str: ...


def answer(request: Request, hub: Settings) -> Reply:
    if request.route == "cdn":
        return cdn_answer(request, hub)
    if request.method not in ("GET", "HEAD"):
        refused = failure(405, "UNSUPPORTED", "The operation is unsupported.")
        return refused.having(API_VERSION, ("Allow", "GET, HEAD"))
    return get_answer(request, hub).having(API_VERSION)


def get_answer(request: Request, hub: Settings) -> Reply:
    if request.route == "ping":
        return content(200, b"{}", "application/json")
    repository = hub.repositories.get(request.name)
    if repository is None:
        return failure(404, "NAME_UNKNOWN", "repository name not known to registry")
    match request.route:
        case "manifest":
            return manifest_answer(request, hub, repository)
        case "blob":
            return blob_answer(request, hub, repository)
        case "tags":
            return tags_answer(request, repository)
        case "referrers":
            return referrers_answer(request, repository)
        case _:
            return failure(404, "NOT_FOUND", "no such page")


def cdn_answer(request: Request, hub: Settings) -> Reply:
    if request.path.startswith("/v2/"):
        return redirected_manifest(request, hub)
    return hub.cdn.answer(request, ranges=hub.ranges)


def redirected_manifest(request: Request, hub: Settings) -> Reply:
    """The other registry to which manifests are redirected: open to all, and it wants no token."""
    if request.authorization is not None:
        return failure(400, "UNSUPPORTED", "a credential arrived that was meant for another host")
    repository = hub.repositories.get(request.name)
    manifest = repository.manifest(request.reference) if repository else None
    return manifest_unknown(request) if manifest is None else manifest_content(manifest)


def manifest_answer(request: Request, hub: Settings, repository: Repository) -> Reply:
    if hub.redirects.manifests is not None:
        return redirect(hub.redirects.manifests, hub.cdn_url + request.target)
    manifest = repository.manifest(request.reference)
    if manifest is None or (hub.strict_accept and not accepts(request, manifest.media_type)):
        return manifest_unknown(request)
    return counted(request, hub, manifest)


def counted(request: Request, hub: Settings, manifest: Manifest) -> Reply:
    quota = hub.quota
    if quota is None:
        return conditional(request, manifest)
    if request.method == "GET":
        if quota.remaining <= 0:
            refused = failure(429, "TOOMANYREQUESTS", PULL_LIMIT).having(*quota.headers)
            after = quota.retry_after
            return refused if after is None else refused.having(("Retry-After", str(after)))
        hub.quota = quota = replace(quota, remaining=quota.remaining - 1)
    return conditional(request, manifest).having(*quota.headers)


def conditional(request: Request, manifest: Manifest) -> Reply:
    whole = manifest_content(manifest)
    if request.headers.get("If-None-Match") == whole.header("ETag"):
        return Reply(304, whole.without("Content-Length", "Content-Type").headers)
    return whole


def manifest_content(manifest: Manifest) -> Reply:
    return content(
        200, manifest.content, manifest.media_type, *identity(manifest.digest), API_VERSION
    )


def manifest_unknown(request: Request) -> Reply:
    return failure(404, "MANIFEST_UNKNOWN", "manifest unknown", f"unknown tag={request.reference}")


def blob_answer(request: Request, hub: Settings, repository: Repository) -> Reply:
    data = repository.blobs.get(request.reference)
    if data is None:
        return failure(404, "BLOB_UNKNOWN", "blob unknown to registry", request.reference)
    sent_away = hub.redirects.blobs
    if sent_away is None or (request.method == "HEAD" and not hub.redirects.heads):
        return serve_bytes(request, data, identity(request.reference), ranges=hub.ranges)
    target = hub.cdn.sign(request.reference, data)
    return redirect(sent_away, target if hub.redirects.relative else hub.cdn_url + target)


def tags_answer(request: Request, repository: Repository) -> Reply:
    """A page of `n` tags after `last`, with a Link to the next one."""
    last = request.query.get("last", "")
    names = sorted(tag for tag in repository.tags if tag > last)
    count = int(request.query.get("n", len(names)))
    page = document(200, {"name": request.name, "tags": names[:count]})
    if count >= len(names) or count < 1:
        return page
    target = f"/v2/{request.name}/tags/list?last={names[count - 1]}&n={count}"
    return page.having(("Link", f'<{target}>; rel="next"'))


def referrers_answer(request: Request, repository: Repository) -> Reply:
    wanted = request.query.get("artifactType")
    found = [
        each
        for each in repository.referrers(request.reference)
        if wanted in (None, each["artifactType"])
    ]
    index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": found}
    page = document(200, index, *([("OCI-Filters-Applied", "artifactType")] if wanted else []))
    return page.having(("Content-Type", INDEX_TYPE))


def abuse_refusal() -> Reply:
    return text(429, "429 Too Many Requests\n")


def identity(digest: str) -> Headers:
    return (("Docker-Content-Digest", digest), ("ETag", f'"{digest}"'))


def accepts(request: Request, media_type: str) -> bool:
    lines = ",".join(request.headers.getall("Accept", ["*/*"]))
    offered = {each.partition(";")[0].strip() for each in lines.split(",")}
    return bool(offered & {media_type, "*/*", "application/*"})
