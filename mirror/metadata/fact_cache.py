"""Facts of repositories in memory, and the rule that keeps stale ones out.

Only what is there is remembered, never that something is not.
"""

from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from cachetools import LRUCache

from mirror.ports.repository import Repository

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class FactCache(Generic[K, V]):
    """At most ``size`` facts (one or more), each about something (``K``) in a repository.

    An answer is remembered only if no write began or ended since the question: the generation
    counts both. A write forgets what it changes before it ends. So what is remembered is what the
    store would say.
    """

    def __init__(self, size: int) -> None:
        self._facts: LRUCache[tuple[Repository, K], V] = LRUCache(maxsize=size)
        self._keys: dict[Repository, set[K]] = {}
        self._repositories: dict[K, set[Repository]] = {}
        self._generation = 0

    def __len__(self) -> int:
        return len(self._facts)

    def peek(self, repository: Repository, key: K) -> V | None:
        return self._facts.get((repository, key))

    def remember(self, repository: Repository, key: K, fact: V, generation: int) -> None:
        """A fact that holds as of ``generation``; passed over if that is not the present one."""
        if generation != self._generation:
            return
        if (repository, key) not in self._facts and len(self._facts) >= self._facts.maxsize:
            oldest, _ = self._facts.popitem()
            self._unlist(*oldest)
        self._facts[repository, key] = fact
        self._keys.setdefault(repository, set()).add(key)
        self._repositories.setdefault(key, set()).add(repository)

    async def read(
        self,
        repository: Repository,
        key: K,
        ask: Callable[[Repository, K], Awaitable[V | None]],
    ) -> V | None:
        """The fact from memory, or else what the store answers."""
        known = self.peek(repository, key)
        if known is not None:
            return known
        generation = self._generation
        fact = await ask(repository, key)
        if fact is not None:
            self.remember(repository, key, fact, generation)
        return fact

    @contextmanager
    def writing(self, forget: Callable[[], None]) -> Iterator[int]:
        """Goes round a write that may have changed what ``forget`` removes, also if it fails.

        Yields the generation that there is after it, if no other write interferes.
        """
        self._generation += 1
        try:
            yield self._generation + 1
        finally:
            forget()
            self._generation += 1

    def forget(self, repository: Repository, key: K) -> None:
        if self._facts.pop((repository, key), None) is not None:
            self._unlist(repository, key)

    def forget_repository(self, repository: Repository) -> None:
        for key in tuple(self._keys.get(repository, ())):
            self.forget(repository, key)

    def forget_everywhere(self, key: K) -> None:
        for repository in tuple(self._repositories.get(key, ())):
            self.forget(repository, key)

    def _unlist(self, repository: Repository, key: K) -> None:
        _discard(self._keys, repository, key)
        _discard(self._repositories, key, repository)


A = TypeVar("A", bound=Hashable)
B = TypeVar("B", bound=Hashable)


def _discard(sets: dict[A, set[B]], key: A, member: B) -> None:
    members = sets[key]
    members.discard(member)
    if not members:
        del sets[key]
