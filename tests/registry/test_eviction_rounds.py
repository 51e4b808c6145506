"""A great many victims go in rounds and batches, and that changes nothing else."""

import pytest

from mirror.registry.eviction import Portions
from tests.registry.chores import PORTIONS
from tests.registry.shelf import MANIFEST_SIZE, NGINX, REDIS, Shelf, digest
from tests.registry.troubled_stores import TroubledFacts


async def test_more_than_a_round_and_a_batch_go_in_several_transactions(
    troubled: Shelf, facts: TroubledFacts
) -> None:
    count = PORTIONS.round + PORTIONS.batch + 1
    for number in range(count):
        await troubled.put_blob(NGINX, f"{number}", 10)
    planned = await troubled.evict(dry_run=True)
    assert facts.evictions == []
    report = await troubled.evict()
    assert report.count == planned.count == count
    assert len(report.victims) == PORTIONS.named
    assert report.victims == planned.victims
    assert report.freed == planned.freed == 10 * count
    assert max(blobs for _, blobs in facts.evictions) == PORTIONS.batch
    assert sum(blobs for _, blobs in facts.evictions) == count
    assert await troubled.stored() == {}


@pytest.mark.parametrize("round_", range(1, 8))
async def test_layers_are_shared_across_rounds(shelf: Shelf, round_: int) -> None:
    shelf.portions = Portions(round=round_, batch=1, page=1)
    await shelf.put_image(NGINX, "first", {"shared": 100, "a": 5})
    for number in range(3):
        await shelf.put_blob(NGINX, f"{number}", 10)
    await shelf.put_image(REDIS, "last", {"shared": 100})
    planned = await shelf.evict(dry_run=True)
    report = await shelf.evict()
    assert report.freed == planned.freed == 2 * MANIFEST_SIZE + 105 + 30
    assert report.victims == planned.victims
    assert await shelf.stored() == {}


@pytest.mark.parametrize("round_", range(1, 5))
async def test_the_end_of_a_round_does_not_part_an_index_from_its_children(
    shelf: Shelf, round_: int
) -> None:
    shelf.portions = Portions(round=round_, batch=1, page=1)
    amd = await shelf.put_image(NGINX, "amd", {"a": 100})
    arm = await shelf.put_image(NGINX, "arm", {"b": 100})
    index = await shelf.put_index(NGINX, "index", [amd, arm])
    await shelf.use(NGINX, index)
    await shelf.put_image(NGINX, "young", {"c": 100})
    assert (await shelf.evict(1)).count == 3
    assert await shelf.has(NGINX, digest("young"))
