"""What is stored of an image, and what of that other images need too.

The statements fetch the manifests of a whole page of images with everything they refer to; what
follows from that is worked out here. Nothing recurses: anyone may push indexes of indexes.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import CTE, Connection, and_, exists, select

from mirror.metadata.listing import is_unknown, named_platforms
from mirror.metadata.schema import (
    CHILD,
    NEEDS,
    blobs,
    digests,
    manifest_references,
    manifests,
    tags,
)


@dataclass(frozen=True, slots=True)
class Content:
    """The figures of an ``ImageSummary``."""

    size: int
    shared: int
    complete: bool
    platforms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Child:
    """A manifest that an index lists; without an id where the repository does not have it."""

    id: int | None
    platform: str | None


@dataclass(slots=True)
class _Manifest:
    """``stored`` and ``missing`` are the blobs it needs, its own bytes among them.

    Blobs are told by the ids of their digests.
    """

    stored: dict[int, int] = field(default_factory=dict)
    missing: set[int] = field(default_factory=set)
    children: list[_Child] = field(default_factory=list)
    parents: dict[int, str | None] = field(default_factory=dict)
    tags: set[str] = field(default_factory=set)

    @property
    def systems(self) -> list[_Child]:
        """The children that can be run: attestations alone make no image."""
        known = [child for child in self.children if not is_unknown(child.platform or "")]
        return known or self.children


class Contents:
    """Of the images whose top manifests were asked for."""

    def __init__(
        self,
        found: dict[int, _Manifest],
        below: dict[int, set[int]],
        needed_elsewhere: dict[int, set[int]],
    ) -> None:
        self._manifests = found
        self._below = below
        self._needed_elsewhere = needed_elsewhere
        self._complete = _complete_manifests(found)

    def of(self, top: int, tag: str | None) -> Content:
        """Of the image that the tag, if it has one, names."""
        below = self._below[top]
        stored: dict[int, int] = {}
        for member in below:
            stored |= self._manifests[member].stored
        shared = set(self._needed_elsewhere[top])
        for member in self._members_elsewhere(top, tag):
            shared |= self._manifests[member].stored.keys()
        return Content(
            size=sum(stored.values()),
            shared=sum(stored[blob] for blob in shared),
            complete=top in self._complete,
            platforms=self._platforms(top),
        )

    def _members_elsewhere(self, top: int, tag: str | None) -> set[int]:
        """Manifests of the image that also belong to another one, by a tag or an index."""
        below = self._below[top]
        waiting = [
            member
            for member in below
            if self._manifests[member].tags - ({tag} if member == top else set())
            or not self._manifests[member].parents.keys() <= below
        ]
        shared = set(waiting)
        while waiting:
            for child in self._manifests[waiting.pop()].children:
                if child.id is not None and child.id not in shared:
                    shared.add(child.id)
                    waiting.append(child.id)
        return shared

    def _platforms(self, top: int) -> tuple[str, ...]:
        manifest = self._manifests[top]
        if manifest.children:
            named = [child.platform for child in manifest.children]
        else:
            named = list(manifest.parents.values())
        return named_platforms({platform for platform in named if platform})


def read_contents(connection: Connection, tops: Sequence[int]) -> Contents:
    if not tops:
        return Contents({}, {}, {})
    closure = _closure(tops)
    below: dict[int, set[int]] = defaultdict(set)
    for row in connection.execute(select(closure)):
        below[row.top].add(row.id)
    found = {member: _Manifest() for members in below.values() for member in members}
    _read_needs(connection, closure, found)
    _read_children(connection, closure, found)
    _read_parents(connection, closure, found)
    _read_tags(connection, closure, found)
    needed_elsewhere: dict[int, set[int]] = defaultdict(set)
    for top, blob in _needed_elsewhere(connection, closure):
        needed_elsewhere[top].add(blob)
    return Contents(found, below, needed_elsewhere)


def _closure(tops: Sequence[int]) -> CTE:
    """Each top manifest with those below it. UNION skips what it has seen: no loop is endless."""
    closure = (
        select(manifests.c.id.label("top"), manifests.c.id)
        .where(manifests.c.id.in_(tops))
        .cte("closure", recursive=True)
    )
    child = manifests.alias("child")
    return closure.union(
        select(closure.c.top, child.c.id)
        .select_from(closure)
        .join(
            manifest_references,
            and_(
                manifest_references.c.manifest_id == closure.c.id,
                manifest_references.c.kind == CHILD,
            ),
        )
        .join(digests, digests.c.id == manifest_references.c.child_id)
        .join(
            child,
            and_(
                child.c.repository_id == manifest_references.c.repository_id,
                child.c.digest == digests.c.digest,
            ),
        )
    )


def _read_needs(connection: Connection, closure: CTE, found: dict[int, _Manifest]) -> None:
    reference = manifest_references.c
    rows = connection.execute(
        select(reference.manifest_id, reference.child_id, blobs.c.size)
        .outerjoin(blobs, blobs.c.digest_id == reference.child_id)
        .where(reference.manifest_id.in_(select(closure.c.id)), reference.kind.in_(NEEDS))
    )
    for row in rows:
        if row.size is None:
            found[row.manifest_id].missing.add(row.child_id)
        else:
            found[row.manifest_id].stored[row.child_id] = row.size


def _read_children(connection: Connection, closure: CTE, found: dict[int, _Manifest]) -> None:
    reference = manifest_references.c
    rows = connection.execute(
        select(reference.manifest_id, reference.platform, manifests.c.id)
        .join(digests, digests.c.id == reference.child_id)
        .outerjoin(
            manifests,
            and_(
                manifests.c.repository_id == reference.repository_id,
                manifests.c.digest == digests.c.digest,
            ),
        )
        .where(reference.manifest_id.in_(select(closure.c.id)), reference.kind == CHILD)
    )
    for row in rows:
        found[row.manifest_id].children.append(_Child(row.id, row.platform))


def _read_parents(connection: Connection, closure: CTE, found: dict[int, _Manifest]) -> None:
    reference = manifest_references.c
    rows = connection.execute(
        select(manifests.c.id, reference.manifest_id, reference.platform)
        .join(digests, digests.c.digest == manifests.c.digest)
        .join(
            manifest_references,
            and_(
                reference.child_id == digests.c.id,
                reference.repository_id == manifests.c.repository_id,
                reference.kind == CHILD,
            ),
        )
        .where(manifests.c.id.in_(select(closure.c.id)))
    )
    for row in rows:
        found[row.id].parents[row.manifest_id] = row.platform


def _read_tags(connection: Connection, closure: CTE, found: dict[int, _Manifest]) -> None:
    rows = connection.execute(
        select(manifests.c.id, tags.c.tag)
        .join(
            tags,
            and_(
                tags.c.repository_id == manifests.c.repository_id,
                tags.c.digest == manifests.c.digest,
            ),
        )
        .where(manifests.c.id.in_(select(closure.c.id)))
    )
    for row in rows:
        found[row.id].tags.add(row.tag)


def _needed_elsewhere(connection: Connection, closure: CTE) -> Iterator[tuple[int, int]]:
    """Stored blobs of each image that a manifest outside of it needs."""
    part = manifest_references.alias("part")
    other = manifest_references.alias("other")
    own = closure.alias("own")
    is_own = (
        exists(own.c.id)
        .where(own.c.top == closure.c.top, own.c.id == other.c.manifest_id)
        .correlate(closure, other)
    )
    is_needed = (
        exists(other.c.kind)
        .where(other.c.child_id == part.c.child_id, other.c.kind.in_(NEEDS), ~is_own)
        .correlate(closure, part)
    )
    rows = connection.execute(
        select(closure.c.top, part.c.child_id)
        .distinct()
        .join(part, and_(part.c.manifest_id == closure.c.id, part.c.kind.in_(NEEDS)))
        .join(blobs, blobs.c.digest_id == part.c.child_id)
        .where(is_needed)
    )
    for row in rows:
        yield row.top, row.child_id


def _complete_manifests(found: dict[int, _Manifest]) -> set[int]:
    """From the leaves up: an index is complete as soon as one of its systems is."""
    listing: dict[int, list[int]] = defaultdict(list)
    for parent, manifest in found.items():
        for child in manifest.systems:
            if child.id is not None:
                listing[child.id].append(parent)
    waiting = [
        leaf for leaf, manifest in found.items() if not manifest.missing and not manifest.systems
    ]
    complete = set(waiting)
    while waiting:
        for parent in listing[waiting.pop()]:
            if parent not in complete and not found[parent].missing:
                complete.add(parent)
                waiting.append(parent)
    return complete
