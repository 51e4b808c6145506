"""What is pushed while it is deleted."""

import asyncio

from mirror.metadata.memory import MemoryMetadata
from mirror.registry.hosted import Acceptance
from mirror.registry.housekeeping import UNRECORDED
from tests.registry.hosting_bench import IMAGE, NGINX, OTHER, TEAM, build, digest
from tests.registry.troubled_stores import TroubledStore
from tests.registry.workbench import Ground, settle
from tests.world import SettableClock


async def test_a_manifest_that_is_pushed_while_its_file_is_swept_has_its_file(
    clock: SettableClock, files: TroubledStore
) -> None:
    """The file is there, as a push that was killed before it could record it left it."""
    house = build(ground=Ground(clock, files, MemoryMetadata()))
    # A sweep believes records only that are not empty.
    await house.push(NGINX, None, OTHER)
    await house.put_blobs(TEAM, IMAGE.blobs)
    await files.put(digest(IMAGE), IMAGE.content)
    pushes: list[asyncio.Task[Acceptance]] = []

    async def push() -> None:
        pushes.append(asyncio.create_task(house.put(TEAM, "1", IMAGE)))
        await settle()

    files.before_delete = push
    clock.advance(2 * UNRECORDED)
    await house.bench.housekeeping.sweep()
    (pushed,) = pushes
    await pushed

    assert house.bench.has(digest(IMAGE))
    await house.close()
