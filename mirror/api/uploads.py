"""``/v2/<name>/blobs/uploads/``: blobs on their way in.

https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pushing-blobs
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from aiohttp import web

from mirror.api.access import identify, require
from mirror.api.announcing import announce
from mirror.api.errors import error_response
from mirror.api.headers import API_VERSION
from mirror.api.path import ResourcePath
from mirror.api.request import CONCERNED, Concern, namespace_header, namespaces
from mirror.api.services import SERVICES
from mirror.api.upload_body import body_of
from mirror.oci.digest import Digest, parse_algorithm, parse_digest
from mirror.oci.errors import BlobUploadUnknown, Denied, DigestInvalid, OCIError, Unsupported
from mirror.ports.access import Action
from mirror.ports.repository import Repository
from mirror.registry.happenings import blob_mounted, blob_pushed
from mirror.registry.uploads import OutOfOrder, Upload

PULLING = ("GET", "HEAD")

Handler = Callable[[web.Request, Repository, str], Awaitable[web.Response]]


async def serve_upload(request: web.Request, path: ResourcePath) -> web.StreamResponse:
    """Any method, on the collection of uploads or on one of them."""
    handlers = _OF_ONE if path.item else _OF_ALL
    request[CONCERNED] = Concern(None, "blob")
    try:
        repository = request.app[SERVICES].router.hosted(path.name, namespaces(request))
    except (Unsupported, Denied) as refusal:
        if request.method in PULLING:
            raise BlobUploadUnknown(refusal.message) from None
        if isinstance(refusal, Denied):
            raise
        return error_response(refusal, allow=PULLING)
    require(request, Action.PUSH)
    handler = handlers.get(request.method)
    if handler is None:
        return error_response(Unsupported("this path has no such method"), allow=tuple(handlers))
    try:
        response = await handler(request, repository, path.item)
    except OutOfOrder as refusal:
        response = error_response(refusal)
        response.headers.update(_progress(request, repository, refusal.upload))
    if request.can_read_body:
        # A body that nobody wanted; the next request would begin in its middle.
        response.force_close()
    return response


async def _start(request: web.Request, repository: Repository, _item: str) -> web.Response:
    uploads, query = request.app[SERVICES].uploads, request.query
    if "digest-algorithm" in query:
        parse_algorithm(query["digest-algorithm"])
    if "mount" in query:
        mounted = parse_digest(query["mount"])
        loan = await uploads.mount(repository, mounted, await _lenders(request, mounted))
        if loan is not None:
            await announce(request, blob_mounted(repository, loan.blob, loan.lender))
            return _created(request, repository, mounted)
    elif "digest" in query:
        digest = parse_digest(query["digest"])
        blob = await uploads.push(repository, body_of(request, _patience(request)), digest)
        await announce(request, blob_pushed(repository, blob))
        return _created(request, repository, digest)
    return _answer(202, _progress(request, repository, await uploads.start(repository)))


async def _append(request: web.Request, repository: Repository, item: str) -> web.Response:
    body = body_of(request, _patience(request))
    upload = await request.app[SERVICES].uploads.append(repository, _id(item), body)
    return _answer(202, _progress(request, repository, upload))


async def _finish(request: web.Request, repository: Repository, item: str) -> web.Response:
    digest = _digest(request)
    body = body_of(request, _patience(request))
    blob = await request.app[SERVICES].uploads.finish(repository, _id(item), body, digest)
    await announce(request, blob_pushed(repository, blob))
    return _created(request, repository, digest)


async def _tell(request: web.Request, repository: Repository, item: str) -> web.Response:
    upload = await request.app[SERVICES].uploads.status(repository, _id(item))
    return web.Response(status=204, headers=_progress(request, repository, upload))


async def _cancel(request: web.Request, repository: Repository, item: str) -> web.Response:
    await request.app[SERVICES].uploads.cancel(repository, _id(item))
    return web.Response(status=204, headers=_plain(request))


_OF_ALL: Mapping[str, Handler] = {"POST": _start}
_OF_ONE: Mapping[str, Handler] = {
    "GET": _tell,
    "HEAD": _tell,
    "PATCH": _append,
    "PUT": _finish,
    "DELETE": _cancel,
}


async def _lenders(request: web.Request, digest: Digest) -> Sequence[Repository]:
    """Whom the client may pull the blob from: from where it says, or from anybody who has it.

    What cannot be pulled is nobody's, whatever the reason: a mount never tells of it.
    """
    services = request.app[SERVICES]
    if not services.access.allows(identify(request), Action.PULL):
        return ()
    if "from" not in request.query:
        owners = await services.uploads.owners(digest)
        return [owner for owner in owners if _pulled(request, str(owner))]
    return _pulled(request, request.query["from"])


def _pulled(request: web.Request, name: str) -> Sequence[Repository]:
    """The repositories that a pull of this name may be answered from."""
    try:
        route = request.app[SERVICES].router.route(name)
    except OCIError:
        return ()
    return [route.repository] if route.fallback is None else [route.repository, route.fallback]


def _digest(request: web.Request) -> Digest:
    digests = request.query.getall("digest", ())
    if len(digests) != 1:
        raise DigestInvalid("say which blob it is: ?digest=sha256:<64 hex>, once")
    return parse_digest(digests[0])


def _id(item: str) -> str:
    """Made of nothing but what we made it of: it becomes part of a file's name."""
    if len(item) != ID_LENGTH or not set(item) <= HEX_DIGITS:
        raise BlobUploadUnknown
    return item


ID_LENGTH = 32
HEX_DIGITS = frozenset("0123456789abcdef")


def _patience(request: web.Request) -> float:
    return request.app[SERVICES].write_timeout.total_seconds()


def _created(request: web.Request, repository: Repository, digest: Digest) -> web.Response:
    location = f"/v2/{repository.name}/blobs/{digest}{_suffix(request)}"
    return _answer(
        201, _plain(request) | {"Location": location, "Docker-Content-Digest": str(digest)}
    )


def _progress(request: web.Request, repository: Repository, upload: Upload) -> dict[str, str]:
    """The first byte is always named, also where there is none: that is what clients can read."""
    return _plain(request) | {
        "Location": f"/v2/{repository.name}/blobs/uploads/{upload.id}{_suffix(request)}",
        "Range": f"0-{max(upload.offset - 1, 0)}",
        "Docker-Upload-UUID": upload.id,
    }


def _suffix(request: web.Request) -> str:
    """Without it the name might mean another registry's."""
    names = namespaces(request)
    return f"?ns={names[0]}" if names else ""


def _answer(status: int, headers: Mapping[str, str]) -> web.Response:
    return web.Response(status=status, headers={**headers, "Content-Length": "0"})


def _plain(request: web.Request) -> dict[str, str]:
    return {
        "X-Content-Type-Options": "nosniff",
        API_VERSION[0]: API_VERSION[1],
        "Server": "mirror",
    } | namespace_header(request)
