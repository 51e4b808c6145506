"""Lists in memory: as many as there is room for."""

from datetime import timedelta

from mirror.registry.recent_lists import RecentLists
from tests.world import SettableClock


class Source:
    """Says a text, and counts how often it was asked."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.asked = 0

    async def __call__(self) -> str | None:
        self.asked += 1
        return self.text


def make(room: int) -> RecentLists[str, str]:
    return RecentLists(SettableClock(), timedelta(seconds=1), room, len)


async def test_the_lists_share_the_room() -> None:
    recent, sources = make(100), [Source("x" * 29) for _ in range(5)]
    for number, source in enumerate(sources):
        await recent.get(str(number), source)
    for number, source in reversed(list(enumerate(sources))):
        await recent.get(str(number), source)
    assert [source.asked for source in sources] == [2, 2, 1, 1, 1]


async def test_the_one_used_longest_ago_goes() -> None:
    recent, sources = make(60), [Source("x" * 29) for _ in range(3)]
    for number in (0, 1, 0, 2, 0):
        await recent.get(str(number), sources[number])
    assert [source.asked for source in sources] == [1, 1, 1]


async def test_what_is_larger_than_the_room_is_served_and_not_kept() -> None:
    recent, source = make(10), Source("x" * 10)
    assert (await recent.get("a", source)).value == "x" * 10
    assert (await recent.get("a", source)).value == "x" * 10
    assert source.asked == 2


async def test_empty_ones_take_room_too() -> None:
    recent, source = make(10), Source("")
    for number in range(1000):
        await recent.get(str(number), source)
    await recent.get("0", source)
    assert source.asked == 1001
