"""What a client was told is there, and for how long it may rely on that."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from mirror.oci.digest import Digest
from mirror.ports.repository import Repository

Held = tuple[Repository, Digest]


@dataclass(slots=True)
class Promises:
    """Until when a blob was promised to be there, by a clock that nobody sets."""

    now: Callable[[], float]
    until: dict[Held, float] = field(default_factory=dict)
    withdrawn: Counter[Held] = field(default_factory=Counter)
    """How often somebody began or ended to take it back."""

    def holds(self, key: Held) -> bool:
        return self.now() < self.until.get(key, 0.0)

    @contextmanager
    def withdrawing(self, key: Held) -> Iterator[None]:
        """While it lasts nothing is certain of it."""
        self._withdraw(key)
        yield
        self._withdraw(key)

    @contextmanager
    def making(self, key: Held, span: timedelta) -> Iterator[list[bool]]:
        """Made when the answer is put into the list, unless it was taken back meanwhile."""
        before, answers = self.withdrawn[key], list[bool]()
        # From when it began: that is what is recorded.
        until = self.now() + span.total_seconds()
        yield answers
        if answers and self.withdrawn[key] == before and before % 2 == 0:
            self.until[key] = max(until, self.until.get(key, 0.0))

    def _withdraw(self, key: Held) -> None:
        self.withdrawn[key] += 1
        self.until.pop(key, None)
