"""Facts of repositories in memory, and the rule that keeps stale ones out.

Only what is there is remembered, never that something is not.
"""

from collections.abc import Awaitable, Callable, Hashable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from cachetools import LRUCache

from mirror.ports.repository import Repository

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(eq=False, slots=True)
class _Question:
    """One that the store is answering. Overtaken: what it is about was forgotten meanwhile."""

    repository: Repository
    is_overtaken: bool = False


class FactCache(Generic[K, V]):
    """At most ``size`` facts (one or more), each about something (``K``) in a repository.

    Whoever changes the store calls the ``forget`` that covers it when the change has ended, in
    whatever way. An answer is remembered only if nothing was forgotten about it since the
    question. So what is remembered is what the store would say, or would have said before a
    change that is still under way.
    """

    def __init__(self, size: int) -> None:
        self._facts: LRUCache[tuple[Repository, K], V] = LRUCache(maxsize=size)
        self._keys: dict[Repository, set[K]] = {}
        self._repositories: dict[K, set[Repository]] = {}
        self._questions: dict[K, set[_Question]] = {}

    def __len__(self) -> int:
        return len(self._facts)

    def peek(self, repository: Repository, key: K) -> V | None:
        return self._facts.get((repository, key))

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
        with self._asking(repository, key) as question:
            fact = await ask(repository, key)
        if fact is not None and not question.is_overtaken:
            self._remember(repository, key, fact)
        return fact

    async def write(
        self, repository: Repository, facts: Mapping[K, V], change: Awaitable[None]
    ) -> None:
        """Make the change after which these are the facts.

        Two at once about the same: which came last is not known, and neither is remembered.
        """
        with ExitStack() as asking:
            questions = {key: asking.enter_context(self._asking(repository, key)) for key in facts}
            try:
                await change
            finally:
                unsure = {key for key, question in questions.items() if question.is_overtaken}
                for key in facts:
                    self.forget(repository, key)
        for key in facts.keys() - unsure:
            self._remember(repository, key, facts[key])

    def forget(self, repository: Repository, key: K) -> None:
        for question in self._questions.get(key, ()):
            question.is_overtaken |= question.repository == repository
        if (repository, key) in self._facts:
            self._drop(repository, key)

    def forget_repository(self, repository: Repository) -> None:
        for questions in self._questions.values():
            for question in questions:
                question.is_overtaken |= question.repository == repository
        for key in tuple(self._keys.get(repository, ())):
            self._drop(repository, key)

    def forget_where(self, covers: Callable[[Repository], bool]) -> None:
        """About every repository of which that is so."""
        asked = {question.repository for asking in self._questions.values() for question in asking}
        for repository in filter(covers, asked | self._keys.keys()):
            self.forget_repository(repository)

    def forget_everywhere(self, key: K) -> None:
        for question in self._questions.get(key, ()):
            question.is_overtaken = True
        for repository in tuple(self._repositories.get(key, ())):
            self._drop(repository, key)

    @contextmanager
    def _asking(self, repository: Repository, key: K) -> Iterator[_Question]:
        question = _Question(repository)
        self._questions.setdefault(key, set()).add(question)
        try:
            yield question
        finally:
            _discard(self._questions, key, question)

    def _remember(self, repository: Repository, key: K, fact: V) -> None:
        if (repository, key) not in self._facts and len(self._facts) >= self._facts.maxsize:
            oldest, _ = self._facts.popitem()
            self._unlist(*oldest)
        self._facts[repository, key] = fact
        self._keys.setdefault(repository, set()).add(key)
        self._repositories.setdefault(key, set()).add(repository)

    def _drop(self, repository: Repository, key: K) -> None:
        del self._facts[repository, key]
        self._unlist(repository, key)

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
