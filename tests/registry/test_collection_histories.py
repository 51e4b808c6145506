"""Random histories of everything that stores and deletes: what was promised is kept, what is dead
goes.

They come in chapters, each of its own seed, so that every run tells the same ones. Most are told
over stores in memory, whose every call lets others in at random; some over SQLite and files.
``MIRROR_HISTORIES`` says how many; ``make histories`` tells 100,000.
"""

import asyncio
import atexit
import functools
import itertools
import logging
import os
import shutil
import tempfile
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
from hypothesis import seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from mirror.metadata.memory import MemoryMetadata
from mirror.metadata.sql import open_sqlite
from mirror.storage.filesystem import FilesystemBlobStore
from mirror.storage.memory import MemoryBlobStore
from tests.registry.acts import (
    CHOICE,
    HOSTED,
    NAMES,
    NAMES_IN_A_CROWD,
    POOL,
    Act,
    in_each_others_way,
    work,
)
from tests.registry.chronicle import Chronicle, others_ended
from tests.registry.hesitant import Chance, hesitant
from tests.registry.verdict import judge
from tests.registry.workbench import Ground
from tests.world import SettableClock

T = TypeVar("T")

HISTORIES = int(os.environ.get("MIRROR_HISTORIES", "2000"))
CHAPTER = 100
ON_DISK = 20
"""Beside every thousand, so many are told over SQLite and files, which is as good as real."""

STEPS = 14

PATIENCE = 600
"""Seconds for a chapter: shrinking one that fails takes its time, and is worth it."""


def acts(names: list[str]) -> st.SearchStrategy[Act]:
    return st.tuples(
        st.sampled_from(names),
        st.sampled_from(range(len(HOSTED))),
        st.sampled_from(range(len(CHOICE))),
        st.sampled_from(("", "latest", "stable")),
        st.integers(0, 65535),
    )


crowds = st.lists(acts(NAMES_IN_A_CROWD), min_size=1, max_size=3)
removers = acts(["collect", "collect", "collect", "evict", "sweep"])
ages = st.sampled_from((0.0, 25.0))
seeds = st.integers(0, 65535)
spans = st.sampled_from((0.01, 1.0, 5.0, 7.0, 13.0, 25.0))
"""Hours, of which a day is the grace period."""


class CollectionHistories(RuleBasedStateMachine):
    """Acts follow each other or happen at once, time passes, and the server is started again."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.chance = Chance()
        self.told = Chronicle(self.lay_ground(), POOL, itertools.count())
        self.is_sound = True

    def lay_ground(self) -> Ground:
        clock = SettableClock()
        store = hesitant(MemoryBlobStore(clock), self.chance)
        return Ground(clock, store, hesitant(MemoryMetadata(), self.chance))

    def clear_ground(self) -> None:
        """Nothing is left of what is in memory."""

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        async def to_the_end() -> T:
            answer = await work
            await others_ended()
            await self.told.make_sure()
            return answer

        try:
            return self.runner.run(to_the_end())
        except BaseException:
            self.is_sound = False
            raise

    @initialize()
    def start(self) -> None:
        self.run(self.told.start())

    @rule(act=acts(NAMES))
    def alone(self, act: Act) -> None:
        self.run(work(self.told, act))

    @rule(crowd=crowds, remover=removers, hours=ages, luck=seeds)
    def together(self, crowd: list[Act], remover: Act, hours: float, luck: int) -> None:
        self.crowd([*crowd, remover], hours, luck, None)

    @rule(crowd=crowds, remover=removers, hours=ages, luck=seeds, turns=st.integers(1, 60))
    def together_until_it_ends(
        self, crowd: list[Act], remover: Act, hours: float, luck: int, turns: int
    ) -> None:
        self.crowd([*crowd, remover], hours, luck, turns)
        self.restart()

    def crowd(self, acts: list[Act], hours: float, luck: int, turns: int | None) -> None:
        """After a while, so that there is something to be removed."""
        self.pass_time(hours)
        works = [work(self.told, act) for act in in_each_others_way(acts)]
        self.chance.be_fickle(luck)
        self.run(self.told.together(works, turns))
        self.chance.be_steady()

    @rule()
    def restart(self) -> None:
        self.run(self.told.restart())

    @rule(hours=spans)
    def pass_time(self, hours: float) -> None:
        self.told.ground.clock.advance(timedelta(hours=hours))

    @rule(days=st.sampled_from((1, 3650)))
    def set_clock_forward(self, days: int) -> None:
        self.told.jump(timedelta(days=days))

    def teardown(self) -> None:
        try:
            if self.is_sound:
                self.run(judge(self.told))
            self.runner.run(self.told.stop())
        finally:
            self.runner.close()
            self.clear_ground()


@pytest.fixture(autouse=True)
def _silent() -> Iterator[None]:
    """Nobody reads what so many servers log."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


class HistoriesOnDisk(CollectionHistories):
    """The database and the files are as the server has them. Chance has no hand in the order."""

    def lay_ground(self) -> Ground:
        self.folder = Path(tempfile.mkdtemp(prefix="histories-"))
        shutil.copytree(empty_data(), self.folder, dirs_exist_ok=True)
        clock = SettableClock()
        self.facts = self.runner.run(open_sqlite(self.folder / "metadata.db"))
        # One thread: what is asked of a disk first is done first, in every run.
        self.disk = ThreadPoolExecutor(1)
        store = FilesystemBlobStore(self.folder, clock, self.disk)
        return Ground(clock, store, self.facts)

    def clear_ground(self) -> None:
        with asyncio.Runner() as runner:
            runner.run(self.facts.close())
        self.disk.shutdown()
        shutil.rmtree(self.folder)


@functools.cache
def empty_data() -> Path:
    """Migrating a database takes longer than a history does."""
    folder = Path(tempfile.mkdtemp(prefix="histories-"))
    atexit.register(shutil.rmtree, folder)
    FilesystemBlobStore.prepare(folder)

    async def migrate() -> None:
        await (await open_sqlite(folder / "metadata.db")).close()

    asyncio.run(migrate())
    return folder


@pytest.mark.timeout(PATIENCE)
@pytest.mark.parametrize("chapter", range(-(-HISTORIES // CHAPTER)))
def test_histories_in_memory(chapter: int) -> None:
    tell(CollectionHistories, chapter, CHAPTER)


@pytest.mark.timeout(PATIENCE)
@pytest.mark.parametrize("chapter", range(-(-HISTORIES // 1000)))
def test_histories_on_disk(chapter: int) -> None:
    tell(HistoriesOnDisk, chapter, ON_DISK)


def tell(machine: type[CollectionHistories], chapter: int, count: int) -> None:
    """Always the same ones of a chapter, over stores in memory."""

    @seed(chapter)
    def begin() -> CollectionHistories:
        return machine()

    run_state_machine_as_test(
        cast("type[RuleBasedStateMachine]", begin),
        settings=settings(max_examples=count, stateful_step_count=STEPS),
    )
