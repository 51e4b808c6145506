"""An upstream's tag that names something else than before is told of, once for each time."""

from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from mirror.oci.errors import OCIError
from mirror.oci.manifest import Manifest
from mirror.ports.metadata import MetadataError
from mirror.ports.upstream import UpstreamFailed
from mirror.registry.happenings import Move
from mirror.registry.proxied import DeletedTags
from mirror.registry.statistics import Result
from tests.registry.moving_tag import NEW, OLD, get, head, is_stale_copy, pull, stale
from tests.registry.scripted_upstream import ScriptedUpstream
from tests.registry.workbench import HUB, LATEST, NAME, NGINX, Ground, Habits, Workbench, set_up
from tests.simulated_hub import blob, make_image

NEWEST = make_image(layers=[blob("newest", 1000)])


@dataclass(slots=True)
class Ear:
    """Hears of moves, unless it is told to fail."""

    moves: list[Move] = field(default_factory=list)
    is_deaf: bool = False

    async def __call__(self, move: Move) -> None:
        if self.is_deaf:
            raise MetadataError("no room for it")
        self.moves.append(move)

    @property
    def heard(self) -> list[tuple[str, str]]:
        """From which digest to which."""
        return [(str(move.before.descriptor.digest), str(move.now.digest)) for move in self.moves]


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
def bench(ground: Ground, hub_upstream: ScriptedUpstream, ear: Ear) -> Workbench:
    return restarted(ground, hub_upstream, ear)


def restarted(ground: Ground, hub_upstream: ScriptedUpstream, ear: Ear) -> Workbench:
    return set_up(ground, {HUB: hub_upstream}, Habits(moved=ear))


async def test_a_move_is_told_with_both_digests(
    bench: Workbench, hub_upstream: ScriptedUpstream, old: Manifest, ear: Ear
) -> None:
    await pull(bench)
    confirmed_at = bench.clock.now() - timedelta(minutes=5)
    new = hub_upstream.push(NAME, "latest", NEW)
    await get(bench)
    [move] = ear.moves
    assert (move.repository, move.tag) == (NGINX, LATEST)
    assert (move.before.descriptor, move.before.confirmed_at) == (old.descriptor, confirmed_at)
    assert move.now == new.descriptor


async def test_what_is_seen_for_the_first_time_or_again_has_not_moved(
    bench: Workbench, old: Manifest, ear: Ear
) -> None:
    await pull(bench)
    assert (await get(bench)).handling.result is Result.REVALIDATED
    assert (await get(bench)).descriptor == old.descriptor
    assert ear.moves == []


async def test_a_head_finds_a_move_as_well(
    bench: Workbench, hub_upstream: ScriptedUpstream, old: Manifest, ear: Ear
) -> None:
    assert (await head(bench)).descriptor == old.descriptor
    stale(bench)
    hub_upstream.push(NAME, "latest", NEW)
    await head(bench)
    assert ear.heard == [(OLD.digest, NEW.digest)]


async def test_every_move_is_told_also_the_way_back(
    bench: Workbench, hub_upstream: ScriptedUpstream, old: Manifest, ear: Ear
) -> None:
    await pull(bench)
    for image in (NEW, OLD, NEW, NEW):
        hub_upstream.push(NAME, "latest", image)
        await get(bench)
        stale(bench)
    assert old.digest == ear.moves[0].before.descriptor.digest
    assert ear.heard == [
        (OLD.digest, NEW.digest),
        (NEW.digest, OLD.digest),
        (OLD.digest, NEW.digest),
    ]


async def test_a_move_whose_manifest_cannot_be_fetched_is_told_once(
    bench: Workbench, hub_upstream: ScriptedUpstream, old: Manifest, ear: Ear
) -> None:
    await pull(bench)
    hub_upstream.push(NAME, "latest", NEW)
    hub_upstream.trouble["manifest"] = UpstreamFailed("500")
    for _ in range(3):
        assert is_stale_copy(await get(bench), "500")
        stale(bench)
    assert old.content == OLD.content
    assert ear.heard == [(OLD.digest, NEW.digest)]

    hub_upstream.push(NAME, "latest", NEWEST)
    await get(bench)
    hub_upstream.trouble.clear()
    assert (await get(bench)).content == NEWEST.content
    assert ear.heard == [(OLD.digest, NEW.digest), (OLD.digest, NEWEST.digest)]


async def test_a_move_that_was_taken_back_and_made_again_is_told_twice(
    bench: Workbench, hub_upstream: ScriptedUpstream, old: Manifest, ear: Ear
) -> None:
    await pull(bench)
    hub_upstream.trouble["manifest"] = UpstreamFailed("500")
    for image in (NEW, OLD, NEW):
        hub_upstream.push(NAME, "latest", image)
        await get(bench)
        stale(bench)
    assert old.content == OLD.content
    assert ear.heard == [(OLD.digest, NEW.digest)] * 2


async def test_a_move_that_could_not_be_told_is_told_later(
    bench: Workbench, hub_upstream: ScriptedUpstream, old: Manifest, ear: Ear
) -> None:
    await pull(bench)
    ear.is_deaf = True
    hub_upstream.push(NAME, "latest", NEW)
    assert (await get(bench)).content == NEW.content, "nobody waits for what is told"
    ear.is_deaf = False
    assert (await get(bench)).content == NEW.content
    assert old.content == OLD.content
    assert ear.heard == [(OLD.digest, NEW.digest)]


async def test_a_restart_in_between_makes_it_the_same_move_again(
    ground: Ground, hub_upstream: ScriptedUpstream, old: Manifest, ear: Ear
) -> None:
    bench = restarted(ground, hub_upstream, ear)
    await pull(bench)
    hub_upstream.push(NAME, "latest", NEW)
    hub_upstream.trouble["manifest"] = UpstreamFailed("500")
    assert is_stale_copy(await get(bench), "500")
    await get(restarted(ground, hub_upstream, ear))
    first, second = ear.moves
    assert first == second
    assert first.before.descriptor == old.descriptor


async def test_a_tag_that_is_kept_and_comes_back_different_has_moved(
    ground: Ground, hub_upstream: ScriptedUpstream, old: Manifest, ear: Ear
) -> None:
    habits = Habits(moved=ear, deleted_tags=DeletedTags.KEEP)
    bench = set_up(ground, {HUB: hub_upstream}, habits)
    await pull(bench)
    del hub_upstream.tags[NAME, "latest"]
    assert is_stale_copy(await get(bench), "deleted")
    stale(bench)
    hub_upstream.push(NAME, "latest", NEW)
    await get(bench)
    assert old.content == OLD.content
    assert ear.heard == [(OLD.digest, NEW.digest)]


async def test_a_tag_that_was_deleted_and_comes_back_is_new(
    bench: Workbench, hub_upstream: ScriptedUpstream, old: Manifest, ear: Ear
) -> None:
    await pull(bench)
    del hub_upstream.tags[NAME, "latest"]
    with pytest.raises(OCIError):
        await get(bench)
    stale(bench)
    hub_upstream.push(NAME, "latest", NEW)
    assert (await get(bench)).content == NEW.content != old.content
    assert ear.moves == []
