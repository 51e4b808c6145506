"""Random histories of pulls, uses and evictions, against what they must leave behind."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mirror.metadata.memory import MemoryMetadata
from mirror.oci.digest import Digest
from mirror.ports.repository import Repository
from mirror.registry.eviction import EvictionReport, Portions
from mirror.registry.housekeeping import UNRECORDED
from tests.registry.shelf import (
    APP,
    EVERYTHING,
    GHCR,
    HOSTED,
    HUB,
    MANIFEST_SIZE,
    NGINX,
    REDIS,
    SECOND,
    Shelf,
    digest,
)
from tests.registry.troubled_stores import TroubledFacts, TroubledStore
from tests.world import SettableClock

T = TypeVar("T")

LAYERS = {"a": 100, "b": 30, "c": 7, "d": 1}
IMAGES = {"i0": "ab", "i1": "ac", "i2": "bcd", "i3": "d", "i4": "ab"}
INDEXES = {"x0": ("i0", "i1"), "x1": ("i2", "i3")}

repositories = st.sampled_from((NGINX, REDIS, APP, HOSTED))
images = st.sampled_from(tuple(IMAGES))
indexes = st.sampled_from(tuple(INDEXES))
layers = st.sampled_from(tuple(LAYERS))
needs = st.sampled_from((0, 1, 11, 50, 120, 300, EVERYTHING))
portions = st.sampled_from((None, Portions(1, 1, 2, 1), Portions(3, 2, 2, 2)))

Key = tuple[Repository, Digest]


class EvictionHistories(RuleBasedStateMachine):
    """``had`` is what each recorded manifest needs, ``used_at`` when it was last used."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = SettableClock()
        self.store = TroubledStore(self.clock)
        self.kept_facts = MemoryMetadata()
        self.frozen: set[str] = set()
        self.had: dict[Key, set[Digest]] = {}
        self.used_at: dict[Key, datetime] = {}
        self.hosted: set[Digest] = set()
        self.orphans: set[Digest] = set()
        self.start()

    def start(self) -> None:
        self.facts = TroubledFacts(self.kept_facts)
        self.shelf = Shelf(self.clock, self.store, self.facts, frozen=self.frozen)

    def run(self, work: Coroutine[None, None, T]) -> T:
        return self.runner.run(work)

    def teardown(self) -> None:
        self.runner.close()

    # What comes in.

    @rule(repository=repositories, name=images)
    def pull(self, repository: Repository, name: str) -> None:
        parts = {layer: LAYERS[layer] for layer in IMAGES[name]}
        self.run(self.shelf.put_image(repository, name, parts))
        self._came(repository, name, {digest(*part) for part in parts.items()})

    @rule(repository=repositories, name=indexes)
    def pull_index(self, repository: Repository, name: str) -> None:
        children = [digest(child) for child in INDEXES[name]]
        self.run(self.shelf.put_index(repository, name, children))
        self._came(repository, name, set())

    @rule(repository=repositories, name=layers)
    def pull_layer(self, repository: Repository, name: str) -> None:
        blob = self.run(self.shelf.put_blob(repository, name, LAYERS[name]))
        self._stored(repository, {blob})

    def _came(self, repository: Repository, name: str, blobs: set[Digest]) -> None:
        key = (repository, digest(name))
        self.had[key] = {digest(name), *blobs}
        # The layers came after it, one second each.
        self._used(key, self.clock.now() - len(blobs) * SECOND)
        self._stored(repository, self.had[key])

    def _stored(self, repository: Repository, blobs: set[Digest]) -> None:
        self.orphans -= blobs
        if repository == HOSTED:
            self.hosted |= blobs

    def _used(self, key: Key, at: datetime) -> None:
        if key in self.had:
            self.used_at[key] = max(at, self.used_at.get(key, at))

    # What happens to it.

    @rule(repository=repositories, name=images, written=st.booleans())
    def use(self, repository: Repository, name: str, written: bool) -> None:  # noqa: FBT001 - hypothesis passes it by name
        self.shelf.touch(repository, digest(name))
        self._used((repository, digest(name)), self.clock.now())
        if written:
            self.run(self.shelf.housekeeping.flush())

    @rule(repository=repositories, name=indexes)
    def use_index(self, repository: Repository, name: str) -> None:
        self.run(self.shelf.use(repository, digest(name)))
        if (repository, digest(name)) in self.had:
            for used in (name, *INDEXES[name]):
                self._used((repository, digest(used)), self.clock.now())

    @rule(name=layers)
    def use_layer(self, name: str) -> None:
        self.shelf.touch(None, digest(name, LAYERS[name]))

    @rule(upstream=st.sampled_from((HUB, GHCR)))
    def break_down(self, upstream: str) -> None:
        self.frozen.add(upstream)

    @rule()
    def recover(self) -> None:
        self.frozen.clear()

    @rule()
    def restart(self) -> None:
        self.run(self.shelf.housekeeping.flush())
        self.start()

    @rule(days=st.sampled_from((-3650, -1, 1, 3650)))
    def set_clock(self, days: int) -> None:
        self.run(self.shelf.housekeeping.flush())
        self.clock.jump(timedelta(days=days))

    @rule()
    def sweep(self) -> None:
        swept = self.run(self.shelf.housekeeping.sweep())
        present = self._files()
        gone = self.orphans - present.keys()
        self.orphans -= gone
        assert (swept > 0) == bool(gone)

    @rule()
    def sweep_in_time(self) -> None:
        self.clock.advance(2 * UNRECORDED)
        self.sweep()

    # What goes.

    @rule(needed=needs, portions=portions)
    def evict(self, needed: int, portions: Portions | None) -> None:
        self.shelf.portions = portions
        planned = self.run(self.shelf.evict(needed, dry_run=True))
        before = self._files()
        report = self.run(self.shelf.evict(needed))
        self._check_files(before, report)
        assert (planned.victims, planned.count, planned.freed, planned.kept) == (
            report.victims,
            report.count,
            report.freed,
            report.kept,
        )
        self._check_order(needed, report)
        self._forget_what_went()

    @rule(needed=needs, held=st.sets(layers, min_size=1))
    def evict_while_sending(self, needed: int, held: set[str]) -> None:
        self.shelf.portions = None
        sending = {digest(name, LAYERS[name]) for name in held}
        before = self._files()
        with ExitStack() as stack:
            for blob in sending:
                stack.enter_context(self.shelf.using.hold(blob))
            self._check_files(before, self.run(self.shelf.evict(needed)))
        assert (sending & before.keys()) - self.orphans <= self._files().keys()
        self._forget_what_went()

    @rule(repository=repositories, name=images, portions=portions)
    def evict_while_it_is_used(
        self, repository: Repository, name: str, portions: Portions | None
    ) -> None:
        key = (repository, digest(name))
        self.shelf.portions = portions

        async def use() -> None:
            if not self.facts.evictions and await self.shelf.has(*key):
                await self.shelf.use(*key)
                self._used(key, self.clock.now())

        self.facts.evictions.clear()
        self.facts.before_evict = use
        before = self._files()
        was_there = key in self.had
        self._check_files(before, self.run(self.shelf.evict()))
        self.facts.before_evict = TroubledFacts().before_evict
        if was_there and self.used_at[key] == self.clock.now():
            assert self.run(self.shelf.has(*key)), "it was used before anything was removed"
        self._forget_what_went()

    @rule(needed=needs)
    def die_while_evicting(self, needed: int) -> None:
        with self._dying():
            try:
                self.run(self.shelf.evict(needed))
            except asyncio.CancelledError:
                self.orphans |= self._files().keys() - self._rows()
        self._forget_what_went()
        self.start()

    @contextmanager
    def _dying(self) -> Iterator[None]:
        async def die() -> None:
            raise asyncio.CancelledError

        self.store.before_delete = die
        yield
        self.store.before_delete = TroubledStore(self.clock).before_delete

    def _check_files(self, before: dict[Digest, int], report: EvictionReport) -> None:
        after = self._files()
        assert report.freed == sum(before.values()) - sum(after.values())

    def _check_order(self, needed: int, report: EvictionReport) -> None:
        """The oldest went, no more than was needed, and nobody's who could not give it again."""
        gone, stay = [], []
        for key, used_at in self.used_at.items():
            repository, manifest = key
            if not self.run(self.shelf.has(repository, manifest)):
                assert repository.upstream is not None
                assert repository.upstream not in self.frozen
                gone.append(used_at)
            elif repository.upstream not in (None, *self.frozen):
                stay.append(used_at)
        assert not gone or not stay or max(gone) <= min(stay)
        if report.freed < needed:
            assert not stay
        if report.count == len(report.victims) > 0:
            last = report.victims[-1].last_used_at
            at_last = sum(one.size for one in report.victims if one.last_used_at == last)
            assert report.freed - at_last < needed

    def _forget_what_went(self) -> None:
        for repository, manifest in tuple(self.had):
            if not self.run(self.shelf.has(repository, manifest)):
                del self.had[repository, manifest]
                del self.used_at[repository, manifest]

    # What always holds.

    @invariant()
    def every_row_has_its_file_and_every_file_its_row(self) -> None:
        assert self._rows() == self._files().keys() - self.orphans

    @invariant()
    def no_manifest_that_stays_misses_what_it_had(self) -> None:
        present = self._files().keys()
        for key, blobs in self.had.items():
            assert self.run(self.shelf.has(*key))
            assert blobs <= present

    @invariant()
    def hosted_content_is_all_there(self) -> None:
        assert self.hosted <= self._rows()

    @invariant()
    def what_is_recorded_adds_up(self) -> None:
        total = sum(size for blob, size in self._files().items() if blob not in self.orphans)
        assert self.run(self.facts.totals()).bytes == total

    def _files(self) -> dict[Digest, int]:
        return dict(self.run(self.shelf.stored()))

    def _rows(self) -> set[Digest]:
        return {blob for blob in EVERY_DIGEST if self.run(self.facts.get_stored(blob)) is not None}


EVERY_DIGEST = (
    *(digest(name, size) for name, size in LAYERS.items()),
    *(digest(name, MANIFEST_SIZE) for name in (*IMAGES, *INDEXES)),
)

TestEvictionHistories = EvictionHistories.TestCase
TestEvictionHistories.settings = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
