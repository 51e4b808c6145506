"""Who stores a blob and who deletes it take turns."""

import asyncio
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from mirror.oci.digest import digest_of
from mirror.registry.custody import Custody

A, B, C = (digest_of(name) for name in (b"a", b"b", b"c"))


async def turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_what_is_being_stored_does_not_leave() -> None:
    custody = Custody()
    async with custody.arriving(A):
        with custody.leaving([C, A, B]) as free:
            assert free == [C, B]
    with custody.leaving([A]) as free:
        assert free == [A]


async def test_it_stays_until_the_last_has_stored_it() -> None:
    custody = Custody()
    async with custody.arriving(A):
        async with custody.arriving(A):
            pass
        with custody.leaving([A]) as free:
            assert free == []


async def test_who_stores_waits_while_it_leaves() -> None:
    custody, stored = Custody(), asyncio.Event()

    async def store() -> None:
        async with custody.arriving(A):
            stored.set()

    with custody.leaving([A]):
        storing = asyncio.create_task(store())
        await turns()
        assert not stored.is_set()
    await storing
    assert stored.is_set()


async def test_nobody_waits_for_another_digest() -> None:
    custody = Custody()
    with custody.leaving([A]):
        async with asyncio.timeout(5), custody.arriving(B):
            pass


async def test_it_is_deleted_by_one_at_a_time() -> None:
    custody = Custody()
    with custody.leaving([A]):
        with custody.leaving([A, B]) as free:
            assert free == [B]
        with custody.leaving([B]) as free:
            assert free == [B]


async def test_failures_leave_nothing_behind() -> None:
    custody = Custody()
    for _ in range(2):
        try:
            async with custody.arriving(A):
                raise OSError
        except OSError:
            pass
        try:
            with custody.leaving([A]) as free:
                assert free == [A]
                raise OSError
        except OSError:
            pass


async def test_who_gives_up_waiting_holds_nothing() -> None:
    custody = Custody()

    async def store() -> None:
        async with custody.arriving(A):
            raise AssertionError("it was its turn while the blob left")

    with custody.leaving([A]):
        storing = asyncio.create_task(store())
        await turns()
        storing.cancel()
        await asyncio.wait({storing})
    with custody.leaving([A]) as free:
        assert free == [A]


class Shop:
    """A file and a row of each blob, and those who bring and take them in two steps."""

    def __init__(self) -> None:
        self.custody = Custody()
        self.files: set[str] = set()
        self.rows: set[str] = set()

    async def bring(self, name: str, pause: int) -> None:
        async with self.custody.arriving(digest_of(name.encode())):
            self.files.add(name)
            await turns(pause)
            self.rows.add(name)

    async def take(self, name: str, pause: int) -> None:
        with self.custody.leaving([digest_of(name.encode())]) as free:
            if free:
                self.rows.discard(name)
                await turns(pause)
                self.files.discard(name)


VISITS = st.tuples(
    st.sampled_from([Shop.bring, Shop.take]), st.sampled_from("ab"), st.integers(0, 4)
)


@given(visits=st.lists(st.tuples(VISITS, st.integers(0, 3)), max_size=12))
@settings(deadline=None)
async def test_no_row_is_ever_without_its_file(
    visits: list[tuple[tuple[Callable[..., "asyncio.Future[None]"], str, int], int]],
) -> None:
    shop, tasks = Shop(), []
    for (visit, name, pause), wait in visits:
        tasks.append(asyncio.ensure_future(visit(shop, name, pause)))
        await turns(wait)
        assert shop.rows <= shop.files
    await asyncio.gather(*tasks)
    assert shop.rows == shop.files
