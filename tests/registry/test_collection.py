"""What is not needed any more goes after a while, and nothing else does."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from mirror.ports.metadata import BlobRecord
from mirror.registry.collection import Amounts, Protected, Reason, Stay, Tally
from tests.registry.depot import (
    GRACE,
    OURS,
    THEIRS,
    Depot,
    digests,
    disk_depot,
    memory_depot,
    record,
)
from tests.registry.shelf import MANIFEST_SIZE, NGINX, SECOND, digest


@pytest.fixture(params=["memory", "disk"])
async def depot(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Depot]:
    if request.param == "memory":
        yield memory_depot()
    else:
        async with disk_depot(tmp_path) as depot:
            yield depot


async def test_a_blob_that_no_manifest_came_for_goes_after_the_grace_period(depot: Depot) -> None:
    blob = await depot.push_blob(OURS, "blob")
    pushed_at = depot.clock.now()
    depot.clock.advance(GRACE - SECOND)
    early = await depot.collect()
    assert early.count == 0
    assert early.kept == ((Stay.YOUNG, Tally(1, 100)),)
    assert early.protected == Protected(pushed_at + GRACE, pushed_at + GRACE)
    assert await depot.stored() == {blob}
    depot.clock.advance(SECOND)
    late = await depot.collect()
    assert [(one.blob, one.reason, one.idle_since) for one in late.blobs] == [
        (record("blob"), Reason.UNNEEDED, pushed_at)
    ]
    assert (late.count, late.freed) == (1, 100)
    assert await depot.stored() == set()
    assert await depot.facts.get_blob(OURS, blob) is None


async def test_what_a_manifest_needs_stays_for_ever(depot: Depot) -> None:
    image = await depot.push_image(OURS, "image", {"a": 100, "b": 30}, "latest")
    untagged = await depot.push_image(OURS, "untagged", {"c": 7})
    depot.clock.advance(100 * GRACE)
    assert (await depot.collect()).count == 0
    assert await depot.stored() == {
        image,
        untagged,
        digest("a", 100),
        digest("b", 30),
        digest("c", 7),
    }


async def test_a_deleted_manifest_goes_and_so_does_what_only_it_needed(depot: Depot) -> None:
    await depot.push_image(OURS, "old", {"a": 100, "shared": 30})
    stays = await depot.push_image(OURS, "new", {"shared": 30})
    await depot.delete_image(OURS, "old")
    depot.age()
    report = await depot.collect()
    assert dict(report.went) == {
        Reason.UNNEEDED: Tally(1, 100),
        Reason.UNLINKED: Tally(1, MANIFEST_SIZE),
    }
    assert await depot.stored() == {stays, digest("shared", 30)}


async def test_a_layer_that_another_repository_needs_stays_and_the_dead_link_goes(
    depot: Depot,
) -> None:
    await depot.push_image(OURS, "ours", {"shared": 100})
    await depot.push_image(THEIRS, "theirs", {"shared": 100})
    await depot.delete_image(OURS, "ours")
    depot.age()
    report = await depot.collect()
    assert report.links == 1
    shared = digest("shared", 100)
    assert await depot.facts.get_blob(OURS, shared) is None
    assert await depot.facts.get_blob(THEIRS, shared) == BlobRecord(shared, 100)


async def test_a_deleted_blob_goes(depot: Depot) -> None:
    blob = await depot.push_blob(OURS, "blob")
    await depot.facts.unlink_blob(OURS, blob)
    depot.age()
    report = await depot.collect()
    assert report.went == ((Reason.UNLINKED, Tally(1, 100)),)


async def test_proxied_content_is_none_of_its_business(depot: Depot) -> None:
    loose = await depot.shelf.put_blob(NGINX, "loose", 100)
    image = await depot.shelf.put_image(NGINX, "image", {"a": 100})
    mounted = await depot.push_blob(OURS, "a", 100)
    depot.age()
    report = await depot.collect()
    assert report.count == 0
    assert await depot.stored() == {loose, image, mounted}
    assert report.links == 1
    assert await depot.facts.get_blob(NGINX, mounted) is not None


@pytest.mark.parametrize("how", ["push", "head", "mount", "use"])
async def test_what_was_asked_for_meanwhile_is_as_young_as_a_push(depot: Depot, how: str) -> None:
    blob = await depot.push_blob(OURS, "blob")
    depot.age()
    now = depot.clock.now()
    if how == "push":
        await depot.facts.put_blob(OURS, record("blob"), now)
    elif how == "head":
        assert await depot.facts.renew_link(OURS, blob, now) is not None
    elif how == "mount":
        assert await depot.facts.mount_blob(THEIRS, blob, now) is not None
    else:
        depot.shelf.touch(None, blob)
    depot.clock.advance(GRACE - SECOND)
    assert (await depot.collect()).kept == ((Stay.YOUNG, Tally(1, 100)),)
    assert await depot.stored() == {blob}
    depot.age()
    assert (await depot.collect()).count == 1


async def test_a_dry_run_tells_the_same_and_lets_it_stay(depot: Depot) -> None:
    for name in "abc":
        await depot.push_blob(OURS, name)
    depot.age()
    await depot.push_blob(OURS, "young")
    dry = await depot.collect(dry_run=True)
    assert dry.dry_run
    assert dry.links is None
    assert await depot.stored() == digests(["a", "b", "c", "young"])
    real = await depot.collect()
    assert (dry.blobs, dry.went, dry.kept, dry.protected, dry.freed) == (
        real.blobs,
        real.went,
        real.kept,
        real.protected,
        real.freed,
    )
    assert await depot.stored() == digests(["young"])
    assert depot.shelf.statistics.total("collected_bytes") == 300


async def test_the_first_and_the_last_that_may_go_later_are_told(depot: Depot) -> None:
    await depot.push_blob(OURS, "first")
    first = depot.clock.now()
    for _ in range(3):
        depot.clock.advance(timedelta(hours=1))
        await depot.push_blob(OURS, f"at {depot.clock.now()}")
    report = await depot.collect()
    assert report.protected == Protected(first + GRACE, depot.clock.now() + GRACE)


async def test_many_go_in_pages_and_some_are_named(depot: Depot) -> None:
    names = [f"{number}" for number in range(11)]
    for name in names:
        await depot.push_blob(OURS, name)
    depot.age()
    depot.amounts = Amounts(page=4, named=5)
    report = await depot.collect()
    assert (report.count, report.freed, len(report.blobs)) == (11, 1100, 5)
    assert [one.blob.digest for one in report.blobs] == sorted(digests(names), key=str)[:5]
    assert await depot.stored() == set()


async def test_a_clock_that_is_set_forward_makes_nothing_old(depot: Depot) -> None:
    """Nor does it for as long as what is young would have been."""
    collection = depot.collection()
    blob = await depot.push_blob(OURS, "blob")
    depot.clock.jump(timedelta(days=3650))
    report = await collection.run(dry_run=False)
    assert report.kept == ((Stay.YOUNG, Tally(1, 100)),)
    assert await depot.stored() == {blob}
    for _ in range(3):
        depot.clock.advance(GRACE / 4)
        assert (await collection.run(dry_run=False)).count == 0
    depot.clock.advance(GRACE / 4)
    assert (await collection.run(dry_run=False)).count == 1


async def test_a_clock_that_is_set_back_loses_nothing(depot: Depot) -> None:
    blob = await depot.push_blob(OURS, "blob")
    depot.clock.jump(timedelta(days=-3650))
    report = await depot.collect()
    assert report.kept == ((Stay.YOUNG, Tally(1, 100)),)
    assert await depot.stored() == {blob}
