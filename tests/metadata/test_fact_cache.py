"""Keys stand for tags and digests alike here."""

from collections import OrderedDict
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.metadata.fact_cache import FactCache
from mirror.ports.repository import Repository
from tests.conformance.metadata import HOSTED, NGINX, REDIS

SIZE = 3
KEYS = "abc"

keys = st.tuples(st.sampled_from([NGINX, REDIS, HOSTED]), st.sampled_from(KEYS))
steps = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "remember",
                "remember",
                "peek",
                "forget",
                "forget_repository",
                "forget_everywhere",
                "forget_where",
            ]
        ),
        keys,
    ),
    min_size=15,
)


async def nothing() -> None:
    pass


async def remember(cache: FactCache[str, int], repository: Repository, key: str, fact: int) -> None:
    await cache.write(repository, {key: fact}, nothing())


@given(steps)
async def test_it_holds_what_was_used_last_and_forgets_what_it_is_told(
    history: Sequence[tuple[str, tuple[Repository, str]]],
) -> None:
    cache: FactCache[str, int] = FactCache(SIZE)
    model: OrderedDict[tuple[Repository, str], int] = OrderedDict()
    for number, (step, place) in enumerate(history):
        repository, key = place
        if step == "remember":
            await remember(cache, repository, key, number)
            model[place] = number
            model.move_to_end(place)
            if len(model) > SIZE:
                model.popitem(last=False)
        elif step == "peek":
            assert cache.peek(repository, key) == model.get(place)
            if place in model:
                model.move_to_end(place)
        elif step == "forget":
            cache.forget(repository, key)
            model.pop(place, None)
        elif step == "forget_repository":
            cache.forget_repository(repository)
            model = OrderedDict((at, fact) for at, fact in model.items() if at[0] != repository)
        elif step == "forget_where":
            cache.forget_where(lambda one: one.upstream is not None)
            model = OrderedDict((at, fact) for at, fact in model.items() if at[0] == HOSTED)
        else:
            cache.forget_everywhere(key)
            model = OrderedDict((at, fact) for at, fact in model.items() if at[1] != key)
        assert len(cache) == len(model)
    for place, fact in model.items():
        assert cache.peek(*place) == fact


async def test_a_failing_write_forgets_too() -> None:
    async def fail() -> None:
        raise OSError("disk")

    cache: FactCache[str, int] = FactCache(SIZE)
    await remember(cache, NGINX, "a", 1)

    with pytest.raises(OSError, match="disk"):
        await cache.write(NGINX, {"a": 2}, fail())

    assert cache.peek(NGINX, "a") is None


async def test_absence_is_asked_about_again() -> None:
    cache: FactCache[str, int] = FactCache(SIZE)
    answers = [None, 7]

    async def ask(_repository: Repository, _key: str) -> int | None:
        return answers.pop(0)

    assert await cache.read(NGINX, "a", ask) is None
    assert await cache.read(NGINX, "a", ask) == 7
    assert await cache.read(NGINX, "a", ask) == 7
    assert answers == []
