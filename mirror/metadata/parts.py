"""Long lists, cut to what one statement takes."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

_PARAMETERS = 1000


def in_parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), _PARAMETERS):
        yield items[start : start + _PARAMETERS]
