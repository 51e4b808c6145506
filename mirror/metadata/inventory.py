"""Statements about everything that is here: totals, and images page by page."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from heapq import merge
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    exists,
    func,
    or_,
    select,
    tuple_,
    union,
)

from mirror.metadata.collectable import is_hosted_link
from mirror.metadata.image_contents import Contents, read_contents
from mirror.metadata.listing import Place, parse_place, place_of
from mirror.metadata.repositories import repository_from
from mirror.metadata.schema import (
    CHILD,
    HOSTED,
    SELF,
    blob_links,
    blobs,
    digests,
    manifest_references,
    manifests,
    repositories,
    tags,
)
from mirror.oci.digest import Digest
from mirror.oci.manifest import Descriptor
from mirror.ports.metadata import ImageSummary, Totals
from mirror.ports.repository import Repository


@dataclass(frozen=True, slots=True)
class _Listed:
    """An image as it is listed, before anyone has looked inside. No manifest: it is not stored."""

    place: Place
    repository: Repository
    tag: str | None
    descriptor: Descriptor
    confirmed_at: datetime | None
    manifest_id: int | None
    last_used_at: datetime | None


def totals(connection: Connection) -> Totals:
    stored = connection.execute(
        select(func.count().label("blobs"), func.coalesce(func.sum(blobs.c.size), 0).label("bytes"))
    ).one()
    return Totals(
        blobs=stored.blobs,
        bytes=int(stored.bytes),
        manifests=_count_distinct(connection, manifests.c.digest),
        repositories=_count_distinct(connection, manifests.c.repository_id),
        hosted_bytes=_hosted_bytes(connection),
    )


def _count_distinct(connection: Connection, column: ColumnElement[Any]) -> int:
    """Along an index. Counted together, the database would collect the values of both first."""
    values = select(column).distinct().subquery()
    return connection.scalar(select(func.count()).select_from(values)) or 0


def _hosted_bytes(connection: Connection) -> int:
    """Of manifests, and of what is linked: that is all they refer to."""
    own = (
        select(manifest_references.c.child_id.label("digest_id"))
        .join(manifests, manifests.c.id == manifest_references.c.manifest_id)
        .join(repositories, repositories.c.id == manifests.c.repository_id)
        .where(repositories.c.upstream == HOSTED, manifest_references.c.kind == SELF)
    )
    linked = select(blob_links.c.digest_id).where(is_hosted_link())
    kept = union(own, linked).subquery()
    total = connection.scalar(
        select(func.sum(blobs.c.size)).join(kept, kept.c.digest_id == blobs.c.digest_id)
    )
    return int(total or 0)


def list_images(
    connection: Connection, repository: Repository | None, after: str | None, limit: int
) -> tuple[Sequence[ImageSummary], str | None]:
    start = parse_place(after) if after is not None else None
    tagged = _list_tagged(connection, repository, start, limit + 1)
    # Beyond the last tag of this page, what is untagged is for a later one.
    stop = tagged[-1].place if len(tagged) > limit else None
    untagged = _list_untagged(connection, repository, start, stop, limit + 1)
    listed = list(merge(tagged, untagged, key=lambda image: image.place))
    page = listed[:limit]
    contents = read_contents(
        connection, [image.manifest_id for image in page if image.manifest_id is not None]
    )
    images = [_summarize(image, contents) for image in page]
    return images, str(page[-1].place) if len(listed) > limit else None


def _list_tagged(
    connection: Connection, repository: Repository | None, start: Place | None, limit: int
) -> list[_Listed]:
    rows = connection.execute(
        select(
            repositories.c.upstream,
            repositories.c.name,
            tags,
            manifests.c.id.label("manifest_id"),
            manifests.c.last_used_at,
        )
        .join(tags, tags.c.repository_id == repositories.c.id)
        .outerjoin(
            manifests,
            and_(
                manifests.c.repository_id == tags.c.repository_id,
                manifests.c.digest == tags.c.digest,
            ),
        )
        .where(*_within(repository), *_after(start, tags.c.tag, is_untagged=False))
        .order_by(repositories.c.upstream, repositories.c.name, tags.c.tag)
        .limit(limit)
    )
    return [_tagged(row) for row in rows]


def _list_untagged(
    connection: Connection,
    repository: Repository | None,
    start: Place | None,
    stop: Place | None,
    limit: int,
) -> list[_Listed]:
    parent = manifest_references.alias("parent")
    before = [] if stop is None else [_repository_key() < (stop.upstream, stop.name)]
    rows = connection.execute(
        select(repositories.c.upstream, repositories.c.name, manifests)
        .join(manifests, manifests.c.repository_id == repositories.c.id)
        .where(
            *_within(repository),
            *_after(start, manifests.c.digest, is_untagged=True),
            *before,
            ~exists(tags.c.digest).where(
                tags.c.repository_id == manifests.c.repository_id,
                tags.c.digest == manifests.c.digest,
            ),
            ~exists(parent.c.kind).where(
                digests.c.digest == manifests.c.digest,
                parent.c.repository_id == manifests.c.repository_id,
                parent.c.child_id == digests.c.id,
                parent.c.kind == CHILD,
            ),
        )
        .order_by(repositories.c.upstream, repositories.c.name, manifests.c.digest)
        .limit(limit)
    )
    return [_untagged(row) for row in rows]


def _within(repository: Repository | None) -> Sequence[ColumnElement[bool]]:
    if repository is None:
        return ()
    return (
        repositories.c.upstream == (repository.upstream or HOSTED),
        repositories.c.name == repository.name.value,
    )


def _after(
    start: Place | None, entry: ColumnElement[Any], *, is_untagged: bool
) -> Sequence[ColumnElement[bool]]:
    """Rows of one part, tagged or not, that come after the place."""
    if start is None:
        return ()
    here = (start.upstream, start.name)
    if is_untagged == start.is_untagged:
        rest = or_(_repository_key() > here, entry > start.entry)
    elif is_untagged:
        return (_repository_key() >= here,)
    else:
        return (_repository_key() > here,)
    # The first condition follows from the second, but only it leads the database to the index.
    return (_repository_key() >= here, rest)


def _repository_key() -> ColumnElement[Any]:
    return tuple_(repositories.c.upstream, repositories.c.name)


def _tagged(row: Row[Any]) -> _Listed:
    repository = repository_from(row.upstream, row.name)
    return _Listed(
        place=place_of(repository, row.tag),
        repository=repository,
        tag=row.tag,
        descriptor=Descriptor(row.media_type, row.digest, row.size),
        confirmed_at=row.confirmed_at,
        manifest_id=row.manifest_id,
        last_used_at=row.last_used_at,
    )


def _untagged(row: Row[Any]) -> _Listed:
    repository = repository_from(row.upstream, row.name)
    digest: Digest = row.digest
    return _Listed(
        place=place_of(repository, str(digest)),
        repository=repository,
        tag=None,
        descriptor=Descriptor(row.media_type, digest, row.size),
        confirmed_at=None,
        manifest_id=row.id,
        last_used_at=row.last_used_at,
    )


def _summarize(image: _Listed, contents: Contents) -> ImageSummary:
    found = contents.of(image.manifest_id, image.tag) if image.manifest_id is not None else None
    return ImageSummary(
        repository=image.repository,
        tag=image.tag,
        descriptor=image.descriptor,
        size=found.size if found else 0,
        shared=found.shared if found else 0,
        complete=found.complete if found else False,
        platforms=found.platforms if found else (),
        confirmed_at=image.confirmed_at,
        last_used_at=image.last_used_at,
    )
