"""How the database looks for hosted content: by searches, whatever else is stored.

What it plans is asked of it, for the statements that really run.
"""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import URL, Connection, NullPool, create_engine, event

from mirror.metadata import catalog, collection, pushes, referrers, stale_links
from mirror.metadata.sql import open_sqlite
from tests.conformance.metadata import (
    LATEST,
    NGINX,
    at,
    blob,
    digest,
    image_of,
    index,
    index_of,
    layer,
    manifest,
    put_image,
)
from tests.conformance.pushing import APP, push_image, pushed

Work = Callable[[Connection], object]

PUSH = pushed(index("i"), index_of(manifest("m")), LATEST, immutable=[LATEST])
IMAGE = pushed(manifest("m"), image_of(layer("a")), LATEST, lender=NGINX)

WORK: dict[str, Work] = {
    "dead blobs": lambda c: collection.list_dead_blobs(c, at(9), str(digest("a")), 10),
    "collecting blobs": lambda c: collection.collect_blobs(c, [digest("a"), digest("b")], at(9)),
    "stale links": lambda c: stale_links.list_stale_links(c, at(9), stale_links.BEFORE_ALL, 10),
    "removing links": lambda c: stale_links.remove_links(c, [stale_links.Link(at(0), 1, 1)], at(9)),
    "pushing an index": lambda c: pushes.push_manifest(c, PUSH),
    "pushing an image": lambda c: pushes.push_manifest(c, IMAGE),
    "removing a manifest": lambda c: pushes.remove_manifest(c, APP, digest("m")),
    "mounting": lambda c: pushes.mount_blob(c, APP, digest("a"), at(1)),
    "renewing": lambda c: pushes.renew_link(c, APP, digest("a"), at(1)),
    "unlinking": lambda c: pushes.unlink_blob(c, APP, digest("b")),
    "owners": lambda c: pushes.list_owners(c, digest("a"), 10),
    "referrers": lambda c: referrers.list_referrers(c, APP, digest("m"), digest("a"), 10),
    "the catalog": lambda c: catalog.list_repositories(c, "docker.io/a", 10),
}


@dataclass(frozen=True, slots=True)
class Plan:
    statement: str
    steps: tuple[str, ...]


@contextmanager
def connected(path: Path) -> Iterator[Connection]:
    url = URL.create("sqlite", database=str(path))
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def plans_of(connection: Connection, work: Work) -> list[Plan]:
    ran: list[tuple[str, object]] = []

    def note(*arguments: object) -> None:
        _, _, statement, parameters, _, many = arguments
        assert isinstance(statement, str)
        ran.append((statement, parameters[0] if many else parameters))  # type: ignore[index]  # rows of parameters

    event.listen(connection.engine, "before_cursor_execute", note)
    work(connection)
    event.remove(connection.engine, "before_cursor_execute", note)
    return [_explained(connection, statement, parameters) for statement, parameters in ran]


def _explained(connection: Connection, statement: str, parameters: object) -> Plan:
    driver = connection.connection.driver_connection
    assert driver is not None
    with closing(driver.cursor()) as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
        return Plan(statement, tuple(str(row[3]) for row in cursor))


@pytest.fixture
async def filled(path: Path) -> Path:
    store = await open_sqlite(path)
    await push_image(store, "m", [layer("a")], LATEST)
    await store.put_blob(APP, blob(layer("b")), at(0))
    await put_image(store, NGINX, "n", [layer("a")])
    await store.close()
    return path


@pytest.mark.parametrize("work", WORK.values(), ids=WORK.keys())
def test_nothing_is_looked_for_row_by_row(filled: Path, work: Work) -> None:
    with connected(filled) as connection:
        plans = plans_of(connection, work)

    assert plans
    for plan in plans:
        assert not [step for step in plan.steps if _is_scan(step)], plan


def test_dead_blobs_are_listed_without_sorting(filled: Path) -> None:
    with connected(filled) as connection:
        plans = plans_of(connection, WORK["dead blobs"])

    assert not [plan for plan in plans for step in plan.steps if "TEMP B-TREE" in step], plans


def test_links_are_looked_for_where_only_those_of_hosted_repositories_are(filled: Path) -> None:
    with connected(filled) as connection:
        plans = plans_of(connection, WORK["stale links"])

    for plan in plans:
        first = plan.steps[0]
        assert "SEARCH blob_links USING COVERING INDEX ix_blob_links_linked_at" in first, plan
        assert not [step for step in plan.steps if "TEMP B-TREE" in step], plan


def _is_scan(step: str) -> bool:
    return step.startswith("SCAN") and step != "SCAN CONSTANT ROW"
