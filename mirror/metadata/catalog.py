"""Statements about which repositories there are.

Their text begins with the upstream, so that within one upstream the order of names is the order
of texts; the upstreams' lists are merged.
"""

from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import islice

from sqlalchemy import Connection, exists, func, select

from mirror.metadata.listing import place_in_text
from mirror.metadata.repositories import repository_from
from mirror.metadata.schema import HOSTED, manifests, repositories
from mirror.ports.repository import Repository


def list_repositories(
    connection: Connection, after: str | None, limit: int, *, hosted_only: bool = False
) -> Sequence[Repository]:
    start = "" if after is None else place_in_text(after)
    upstreams = [HOSTED] if hosted_only else _upstreams(connection)
    pages = [_page(connection, upstream, start, limit) for upstream in upstreams]
    return list(islice(merge(*pages, key=str), limit))


def _upstreams(connection: Connection) -> Iterator[str]:
    """Each found by a search of its own: they are few, and their repositories many."""
    found = connection.scalar(select(func.min(repositories.c.upstream)))
    while found is not None:
        yield found
        found = connection.scalar(
            select(func.min(repositories.c.upstream)).where(repositories.c.upstream > found)
        )


def _page(connection: Connection, upstream: str, start: str, limit: int) -> Sequence[Repository]:
    prefix = f"{upstream}/" if upstream != HOSTED else ""
    if start > prefix and not start.startswith(prefix):
        return []
    # No name is empty, so that all come after an empty one.
    name = start.removeprefix(prefix) if start.startswith(prefix) else ""
    listed = connection.scalars(
        select(repositories.c.name)
        .where(
            repositories.c.upstream == upstream,
            repositories.c.name > name,
            exists(manifests.c.digest).where(manifests.c.repository_id == repositories.c.id),
        )
        .order_by(repositories.c.name)
        .limit(limit)
    )
    return [repository_from(upstream, name) for name in listed]
