"""``GET /api/v1/images`` and ``/api/v1/images/{name}``: what is stored, page by page."""

from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import web

from mirror.api import documents
from mirror.api.rendering import json_answer
from mirror.api.services import SERVICES, Services
from mirror.oci.digest import Digest, parse_digest
from mirror.oci.errors import ManifestUnknown, NameUnknown, PaginationNumberInvalid, quoted
from mirror.oci.page import parse_page
from mirror.oci.reference import Tag, parse_tag
from mirror.ports.metadata import ImageSummary
from mirror.ports.repository import Repository

MOST_IMAGES = 1000
USUAL_IMAGES = 100

LONGEST_KEY = 1024
"""Of a key to go on after: longer than an upstream, a name and a tag or digest can be."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a path asks for: a repository, or what a tag or digest of it names."""

    name: str
    reference: Tag | Digest | None


@dataclass(frozen=True, slots=True)
class Page:
    """At most ``limit`` images that follow the key ``after``."""

    limit: int
    after: str | None


async def get_images(request: web.Request) -> web.Response:
    page = _parse_page(request)
    found = await request.app[SERVICES].inventory.list_images(None, page.after, page.limit)
    return json_answer(render_images(*found))


async def get_images_of(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    wanted = parse_wanted(request.match_info["name"])
    page = _parse_page(request)
    route = services.router.route(wanted.name)
    for repository in (route.repository, route.fallback):
        if repository is None:
            continue
        images, following = await _list(services, repository, wanted.reference, page)
        if images:
            return json_answer(render_images(images, following))
    if page.after is not None:
        return json_answer(render_images([], None))
    if wanted.reference is not None:
        raise ManifestUnknown(f"{quoted(str(wanted.reference))} of {wanted.name} is not stored")
    raise NameUnknown(f"nothing of {wanted.name} is stored")


def parse_wanted(text: str) -> Wanted:
    """``name``, ``name:tag``, ``name@digest`` or both. Raises TagInvalid or DigestInvalid.

    The name is not looked at: routing knows which upstreams it may begin with.
    """
    named, at, digest = text.partition("@")
    parent, slash, last = named.rpartition("/")
    # A colon before the last slash is that of an upstream's port.
    component, colon, tag = last.partition(":")
    name = f"{parent}{slash}{component}"
    if at:
        return Wanted(name, parse_digest(digest))
    return Wanted(name, parse_tag(tag) if colon else None)


def render_images(images: Sequence[ImageSummary], following: str | None) -> documents.Images:
    return documents.Images([_image(image) for image in images], following)


async def _list(
    services: Services, repository: Repository, reference: Tag | Digest | None, page: Page
) -> tuple[Sequence[ImageSummary], str | None]:
    if reference is None:
        return await services.inventory.list_images(repository, page.after, page.limit)
    return await _find(services, repository, reference), None


async def _find(
    services: Services, repository: Repository, reference: Tag | Digest
) -> Sequence[ImageSummary]:
    """One image for a tag; for a digest every tag that points at it."""
    found: list[ImageSummary] = []
    after = None
    while True:
        images, after = await services.inventory.list_images(repository, after, MOST_IMAGES)
        found += [image for image in images if _is_meant(image, reference)]
        if after is None or (found and isinstance(reference, Tag)):
            return found


def _is_meant(image: ImageSummary, reference: Tag | Digest) -> bool:
    if isinstance(reference, Digest):
        return image.descriptor.digest == reference
    return image.tag == reference.value


def _parse_page(request: web.Request) -> Page:
    limit = parse_page(request.query.get("n"), None, MOST_IMAGES).limit
    if limit == 0:
        raise PaginationNumberInvalid(f"n=0 asks for nothing, use 1 to {MOST_IMAGES}")
    after = request.query.get("last")
    return Page(limit or USUAL_IMAGES, after[:LONGEST_KEY] if after else None)


def _image(image: ImageSummary) -> documents.Image:
    return documents.Image(
        repository=str(image.repository),
        upstream=image.repository.upstream,
        tag=image.tag,
        digest=str(image.descriptor.digest),
        media_type=image.descriptor.media_type,
        bytes=image.size,
        shared_bytes=image.shared,
        complete=image.complete,
        platforms=list(image.platforms),
        confirmed_at=image.confirmed_at,
        last_used_at=image.last_used_at,
    )
