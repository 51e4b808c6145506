"""What changes hosted repositories: ``PUT`` and ``DELETE`` of manifests, ``DELETE`` of blobs.

https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#push
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from aiohttp import web
from multidict import CIMultiDict

from mirror.api.access import require
from mirror.api.announcing import announce
from mirror.api.body import read_body
from mirror.api.errors import error_response
from mirror.api.headers import API_VERSION
from mirror.api.manifests import PREPARED
from mirror.api.path import Resource, ResourcePath
from mirror.api.request import CONCERNED, Concern, namespace_header, namespaces
from mirror.api.services import SERVICES
from mirror.oci.digest import is_digest_like, parse_digest
from mirror.oci.errors import TagInvalid
from mirror.oci.manifest import MANIFEST_LIMIT
from mirror.oci.reference import Reference, Tag, parse_reference, parse_tag
from mirror.ports.access import Action
from mirror.ports.repository import Repository
from mirror.registry.happenings import (
    blob_deleted,
    manifest_deleted,
    manifest_pushed,
    tag_deleted,
)
from mirror.registry.hosted import Acceptance, ContentMissing, PushedManifest

MOST_TAGS = 100
"""Tag parameters of one push."""

URI_TOO_LONG = 414


async def put_manifest(request: web.Request, path: ResourcePath) -> web.StreamResponse:
    services = request.app[SERVICES]
    repository = hosted_repository(request, path, Action.PUSH)
    reference = _written_reference(path.item)
    names = request.query.getall("tag", ())
    if len(names) > MOST_TAGS:
        error = TagInvalid(f"{len(names)} tags at once are too many: push {MOST_TAGS} at a time")
        return error_response(error, status=URI_TOO_LONG)
    tags = tuple(parse_tag(name) for name in names)
    body = await read_body(request, MANIFEST_LIMIT, services.write_timeout)
    if isinstance(body, web.StreamResponse):
        return body
    pushed = PushedManifest(
        repository=repository,
        reference=reference,
        content=body,
        content_type=request.headers.get("Content-Type"),
        tags=tags,
        lender=services.router.route(path.name, namespaces(request)).fallback,
    )
    try:
        with _changing(request):
            acceptance = await services.hosted.push(pushed)
    except ContentMissing as missing:
        return error_response(*missing.errors)
    await announce(request, *manifest_pushed(repository, acceptance.descriptor, _tags_of(pushed)))
    return web.Response(status=201, headers=_accepted(request, pushed, acceptance))


async def delete_manifest(request: web.Request, path: ResourcePath) -> web.StreamResponse:
    hosted = request.app[SERVICES].hosted
    repository = hosted_repository(request, path, Action.DELETE)
    reference = parse_reference(path.item)
    with _changing(request):
        if isinstance(reference, Tag):
            await hosted.delete_tag(repository, reference)
            happening = tag_deleted(repository, reference)
        else:
            await hosted.delete_manifest(repository, reference)
            happening = manifest_deleted(repository, reference)
    await announce(request, happening)
    return _deleted(request)


async def delete_blob(request: web.Request, path: ResourcePath) -> web.StreamResponse:
    hosted = request.app[SERVICES].hosted
    repository = hosted_repository(request, path, Action.DELETE)
    digest = parse_digest(path.item)
    await hosted.delete_blob(repository, digest)
    await announce(request, blob_deleted(repository, digest))
    return _deleted(request)


def hosted_repository(request: web.Request, path: ResourcePath, action: Action) -> Repository:
    """The repository to be changed. Raises what routing raises, and Denied.

    The name is judged first: that it cannot be changed is true for everybody.
    """
    request[CONCERNED] = Concern(None, "manifest" if path.resource is Resource.MANIFEST else "blob")
    repository = request.app[SERVICES].router.hosted(
        path.name, namespaces(request), deleting=action is Action.DELETE
    )
    require(request, action)
    return repository


@contextmanager
def _changing(request: web.Request) -> Iterator[None]:
    """Whatever comes of it, nothing that was answered before is answered after it."""
    try:
        yield
    finally:
        request.app[PREPARED].forget()


def _written_reference(text: str) -> Reference:
    return parse_digest(text) if is_digest_like(text) else parse_tag(text)


def _tags_of(pushed: PushedManifest) -> Sequence[Tag]:
    """The tag it was pushed by, if it was one, and the others, each once."""
    own = (pushed.reference,) if isinstance(pushed.reference, Tag) else ()
    return tuple(dict.fromkeys((*own, *pushed.tags)))


def _accepted(
    request: web.Request, pushed: PushedManifest, acceptance: Acceptance
) -> CIMultiDict[str]:
    digest = acceptance.descriptor.digest
    location = f"/v2/{pushed.repository.name}/manifests/{digest}"
    names = namespaces(request)
    headers = CIMultiDict(
        _headers(request)
        | {
            # Without it the name might mean another registry's.
            "Location": f"{location}?ns={names[0]}" if names else location,
            "Docker-Content-Digest": str(digest),
        }
    )
    if acceptance.subject is not None:
        headers["OCI-Subject"] = str(acceptance.subject)
    for tag in pushed.tags:
        headers.add("OCI-Tag", tag.value)
    return headers


def _deleted(request: web.Request) -> web.Response:
    return web.Response(status=202, headers=_headers(request))


def _headers(request: web.Request) -> dict[str, str]:
    return {
        "Content-Length": "0",
        "X-Content-Type-Options": "nosniff",
        API_VERSION[0]: API_VERSION[1],
        "Server": "mirror",
    } | namespace_header(request)
