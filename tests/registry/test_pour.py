"""From a body to an ingest: nothing is ever written behind a gap, whatever ends it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest

from mirror.oci.digest import digest_of
from mirror.ports.blobs import Ingest, StorageError, StorageFull
from mirror.registry.pour import MOST_GATHERED, PORTION, pour
from mirror.storage.memory import MemoryBlobStore
from tests.registry.upload_bench import ClientLeft, broken
from tests.world import SettableClock

STEP = PORTION // 4
CONTENT = b"".join(number.to_bytes(4, "big") for number in range(5 * PORTION // 4))
CHUNKS = [CONTENT[start : start + STEP] for start in range(0, len(CONTENT), STEP)]


async def gradually(chunks: Sequence[bytes]) -> AsyncIterator[bytes]:
    """Others get a turn between any two."""
    for chunk in chunks:
        await asyncio.sleep(0)
        yield chunk


async def welcome(_size: int) -> None:
    await asyncio.sleep(0)


async def ingest_in(capacity: int = 1 << 30) -> Ingest:
    return await MemoryBlobStore(SettableClock(), capacity).ingest("a")


async def written(ingest: Ingest) -> bytes:
    return b"".join([bytes(each) async for each in ingest.written(0, ingest.offset)])  # type: ignore[arg-type]  # a store in memory gives bytes


async def pour_all(
    chunks: AsyncIterator[bytes], ingest: Ingest, admit: Callable[[int], Awaitable[None]]
) -> None:
    await ingest.write(*await pour(chunks, ingest, admit))


async def test_all_of_it_arrives_in_order() -> None:
    ingest = await ingest_in()
    rest = await pour(gradually(CHUNKS), ingest, welcome)
    assert ingest.offset + sum(map(len, rest)) == len(CONTENT)
    assert ingest.offset >= PORTION
    await ingest.write(*rest)
    assert ingest.digest() == digest_of(CONTENT)


async def test_it_is_written_in_portions() -> None:
    """Not in whatever the network happens to give."""
    ingest, sizes = await ingest_in(), list[int]()

    async def admit(size: int) -> None:
        sizes.append(size)

    await pour_all(gradually([CONTENT[:1000], *CHUNKS]), ingest, admit)
    assert sizes[:-1] == [PORTION + 1000, *[PORTION] * (len(sizes) - 2)]
    assert sum(sizes) == len(CONTENT) + 1000


async def test_who_is_behind_writes_more_at_once_and_is_waited_for() -> None:
    """What is in memory has a limit, however slow the disk is."""
    ingest, sizes, taken = await ingest_in(), list[int](), 0
    slow = asyncio.Event()

    async def admit(size: int) -> None:
        sizes.append(size)
        await slow.wait()

    async def counted() -> AsyncIterator[bytes]:
        nonlocal taken
        for chunk in CHUNKS * 2:
            await asyncio.sleep(0)
            taken += len(chunk)
            yield chunk

    pouring = asyncio.create_task(pour_all(counted(), ingest, admit))
    for _ in range(100):
        await asyncio.sleep(0)
    assert taken == PORTION + MOST_GATHERED
    slow.set()
    await pouring
    assert sizes[:2] == [PORTION, MOST_GATHERED]
    assert ingest.digest() == digest_of(CONTENT * 2)


@pytest.mark.parametrize("count", range(len(CHUNKS)))
async def test_what_came_before_it_broke_off_is_written(count: int) -> None:
    ingest = await ingest_in()
    with pytest.raises(ClientLeft):
        await pour_all(broken(*CHUNKS[:count]).chunks, ingest, welcome)
    assert await written(ingest) == CONTENT[: count * STEP]


@pytest.mark.parametrize("capacity", [PORTION - 1, PORTION, 2 * PORTION + 1, len(CONTENT) - 1])
async def test_nothing_follows_what_found_no_room(capacity: int) -> None:
    ingest = await ingest_in(capacity)
    with pytest.raises(StorageFull):
        await pour_all(gradually(CHUNKS), ingest, welcome)
    assert await written(ingest) == CONTENT[: capacity // PORTION * PORTION]


@pytest.mark.parametrize("refused", range(5))
async def test_nothing_follows_what_was_not_admitted(refused: int) -> None:
    """Also when there is room again a moment later."""
    ingest, asked = await ingest_in(), 0

    async def admit(_size: int) -> None:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        if asked == refused + 1:
            raise StorageError("not now")

    with pytest.raises(StorageError, match="not now"):
        await pour_all(gradually(CHUNKS), ingest, admit)
    assert await written(ingest) == CONTENT[: refused * PORTION]


@pytest.mark.parametrize("turns", range(60))
async def test_it_may_be_cancelled_at_any_moment(turns: int) -> None:
    """Also while the next portion is gathered already, and this one waits for room."""

    async def hesitate(_size: int) -> None:
        for _ in range(8):
            await asyncio.sleep(0)

    ingest = await ingest_in()
    pouring = asyncio.create_task(pour_all(gradually(CHUNKS), ingest, hesitate))
    for _ in range(turns):
        await asyncio.sleep(0)
    pouring.cancel()
    await asyncio.wait({pouring})
    found = await written(ingest)
    assert CONTENT.startswith(found)
    assert pouring.cancelled() or found == CONTENT
