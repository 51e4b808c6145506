"""Hosted repositories of a test, and the shortest way to push to them."""

from collections.abc import Sequence
from datetime import datetime

from mirror.oci.manifest import Descriptor, References
from mirror.oci.reference import RepositoryName, Tag
from mirror.ports.hosting import CollectionStore, Facts, Push, PushOutcome
from mirror.ports.repository import Repository
from tests.conformance.metadata import at, blob, image_of, layer, manifest

APP = Repository(None, RepositoryName("team/web/app"))
COPY = Repository(None, RepositoryName("team/web/copy"))

RECORDED = PushOutcome((), ())


def pushed(
    descriptor: Descriptor,
    references: References | None = None,
    *tags: Tag,
    seconds: float = 0,
    repository: Repository = APP,
    immutable: Sequence[Tag] = (),
    lender: Repository | None = None,
) -> Push:
    return Push(
        repository,
        descriptor,
        references or image_of(),
        tags,
        frozenset(immutable),
        lender,
        at(seconds),
    )


async def push_image(
    facts: Facts,
    name: str,
    layers: Sequence[Descriptor],
    *tags: Tag,
    seconds: float = 0,
    repository: Repository = APP,
) -> Descriptor:
    """Its layers, then its manifest, as clients do it."""
    for part in layers:
        await facts.put_blob(repository, blob(part), at(seconds))
    push = pushed(manifest(name), image_of(*layers), *tags, seconds=seconds, repository=repository)
    assert await facts.push_manifest(push) == RECORDED
    return manifest(name)


async def collect_links(store: CollectionStore, unless_after: datetime, limit: int = 100) -> int:
    """All there are, however many at a time."""
    total, after = await store.collect_links(unless_after, None, limit)
    while after is not None:
        count, after = await store.collect_links(unless_after, after, limit)
        total += count
    return total


def layers_of(*names: str) -> list[Descriptor]:
    return [layer(name) for name in names]
