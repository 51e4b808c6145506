"""Ports whose every call lets others in before and after it, as often as chance has it."""

import asyncio
import inspect
from collections.abc import Callable
from random import Random
from typing import Any, TypeVar, cast

T = TypeVar("T")

MOST_TURNS = 3


class Chance:
    """Nobody is let in until it is told to be fickle; then the seed says everything."""

    def __init__(self) -> None:
        self._random: Random | None = None

    @property
    def is_fickle(self) -> bool:
        return self._random is not None

    def be_fickle(self, seed: int) -> None:
        self._random = Random(seed)  # noqa: S311 - it is to be repeated, not to be secret

    def be_steady(self) -> None:
        self._random = None

    async def pass_turns(self) -> None:
        if self._random is not None:
            for _ in range(self._random.randrange(MOST_TURNS)):
                await asyncio.sleep(0)


def hesitant(beneath: T, chance: Chance) -> T:
    """The same port. What is no coroutine is left as it is."""
    return cast("T", _Hesitant(beneath, chance))


class _Hesitant:
    def __init__(self, beneath: object, chance: Chance) -> None:
        self._beneath = beneath
        self._chance = chance

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._beneath, name)
        if inspect.iscoroutinefunction(attribute):
            attribute = self._slowed(attribute)
        # The next time it is there at once.
        setattr(self, name, attribute)
        return attribute

    def _slowed(self, method: Callable[..., Any]) -> Callable[..., Any]:
        async def slow(*arguments: object, **named: object) -> object:
            if not self._chance.is_fickle:
                return await method(*arguments, **named)
            await self._chance.pass_turns()
            answer = await method(*arguments, **named)
            await self._chance.pass_turns()
            return answer

        return slow
