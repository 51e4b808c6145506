"""Random histories of pulls, evictions, restarts and outages: what is listed can be served.

Between any two steps every recorded blob has its file, and every image that is said to be complete
can be pulled whole while no upstream answers.
"""

import asyncio
import contextlib
from collections.abc import Coroutine, Sequence
from datetime import timedelta
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from mirror.metadata.memory import MemoryMetadata
from mirror.oci.digest import Digest, digest_of, parse_digest
from mirror.oci.errors import OCIError
from mirror.oci.manifest import Descriptor, Manifest, parse_references
from mirror.oci.reference import Tag
from mirror.ports.metadata import ImageSummary
from mirror.ports.repository import Repository
from mirror.ports.upstream import UpstreamUnreachable
from mirror.registry.eviction import Eviction, EvictionReport
from mirror.registry.routing import Approach, Route
from mirror.storage.memory import MemoryBlobStore
from tests.registry.reading import begin, fetch
from tests.registry.scripted_download import What
from tests.registry.scripted_upstream import FAILING, WELL, ScriptedUpstream
from tests.registry.workbench import (
    GHCR,
    GHCR_APP,
    HUB,
    NGINX,
    REDIS,
    Ground,
    Habits,
    Workbench,
    eviction_ports,
    fills_ended,
    set_up,
)
from tests.simulated_hub import Image, Index, blob, make_image, make_index
from tests.world import SettableClock

T = TypeVar("T")

LAYERS = [blob(number, 20_000 + number) for number in range(4)]
IMAGES = [
    make_image(layers=[LAYERS[0], LAYERS[1]]),
    make_image(layers=[LAYERS[0], LAYERS[2]]),
    make_image(layers=[LAYERS[3]], architecture="arm64"),
]
PUSHED: list[Image | Index] = [
    *IMAGES,
    make_index([IMAGES[0], IMAGES[2]]),
    make_index([IMAGES[1], IMAGES[2]]),
]
REPOSITORIES = [NGINX, REDIS, GHCR_APP]
TAGS = [Tag("latest"), Tag("stable")]
DOWN = UpstreamUnreachable("it was told to be down")
EVERYTHING = 1 << 40
QUESTIONS: list[What] = ["resolve", "manifest", "head", "blob"]

repositories = st.sampled_from(REPOSITORIES)
tags = st.sampled_from(TAGS)
contents = st.sampled_from(PUSHED)
layers = st.sampled_from(LAYERS)


def digests_of(pushed: Image | Index) -> set[Digest]:
    """Of everything that belongs to it."""
    own = {parse_digest(pushed.digest)}
    if isinstance(pushed, Index):
        return own.union(*(digests_of(image) for image in pushed.images))
    return own | {parse_digest(digest) for digest in pushed.blobs}


KNOWN = set[Digest]().union(*(digests_of(pushed) for pushed in PUSHED))


class Histories(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner()
        self.clock = SettableClock()
        self.upstreams = {HUB: ScriptedUpstream(), GHCR: ScriptedUpstream()}
        self.ground = Ground(self.clock, MemoryBlobStore(self.clock), MemoryMetadata())
        self.down: set[str] = set()
        self.run(self.start())
        for repository in REPOSITORIES:
            self.push(repository, TAGS[0], PUSHED[0])

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.run(self.bench.close())
            self.runner.close()

    async def start(self) -> None:
        self.bench = set_up(self.ground, self.upstreams)

    def run(self, work: Coroutine[None, None, T]) -> T:
        async def all_of_it() -> T:
            result = await work
            await fills_ended()
            return result

        # Long enough that no 404 is remembered.
        self.clock.advance(timedelta(seconds=20))
        return self.runner.run(all_of_it())

    def upstream_of(self, repository: Repository) -> ScriptedUpstream:
        return self.upstreams[repository.upstream or ""]

    # What happens upstream.

    @rule(repository=repositories, tag=tags, pushed=contents)
    def push(self, repository: Repository, tag: Tag, pushed: Image | Index) -> None:
        self.upstream_of(repository).push(str(repository.name), str(tag), pushed)

    @rule(repository=repositories, tag=tags)
    def delete_tag(self, repository: Repository, tag: Tag) -> None:
        self.upstream_of(repository).tags.pop((str(repository.name), str(tag)), None)

    @rule(name=st.sampled_from([HUB, GHCR]))
    def go_down_or_come_back(self, name: str) -> None:
        self.down ^= {name}
        upstream = self.upstreams[name]
        upstream.status_now = FAILING if name in self.down else WELL
        upstream.trouble.clear()
        if name in self.down:
            upstream.trouble.update(dict.fromkeys(QUESTIONS, DOWN))

    # What clients do.

    @rule(repository=repositories, tag=tags)
    def pull(self, repository: Repository, tag: Tag) -> None:
        route = Route(repository, Approach.DIRECT)
        upstream = self.upstream_of(repository)
        named = upstream.tags.get((str(repository.name), str(tag)))
        is_fresh = self.bench.manifests.peek(route, tag) is not None
        try:
            pulled = self.run(pull_image(self.bench, route, tag))
        except OCIError:
            assert repository.upstream in self.down or named is None
        else:
            if repository.upstream not in self.down and not is_fresh and named is not None:
                assert pulled.digest == named.digest

    @rule(repository=repositories, layer=layers)
    def pull_blob(self, repository: Repository, layer: bytes) -> None:
        digest = digest_of(layer)
        try:
            content = self.run(fetch(self.bench.blobs, Route(repository, Approach.DIRECT), digest))
        except OCIError:
            has_it = (str(repository.name), digest) in self.upstream_of(repository).blobs
            assert repository.upstream in self.down or not has_it
        else:
            assert content == layer

    @rule(repository=repositories, layer=layers)
    def leave_early(self, repository: Repository, layer: bytes) -> None:
        with contextlib.suppress(OCIError):
            self.run(leave_early(self.bench, Route(repository, Approach.DIRECT), digest_of(layer)))

    @rule(layer=layers)
    def lose_a_file(self, layer: bytes) -> None:
        """And notice, because somebody asks for it; where nobody can give it again, it stays."""
        digest = digest_of(layer)
        if not self.down and (str(NGINX.name), digest) in self.upstreams[HUB].blobs:
            self.run(self.ground.store.delete(digest))
            self.pull_blob(NGINX, layer)

    # What the server does.

    @rule(needed=st.sampled_from([1, 20_000, 45_000, EVERYTHING]))
    def evict(self, needed: int) -> None:
        complete = {image_key(image) for image in self.images() if image.complete}
        planned = self.run(self.evicted(needed, dry_run=True))
        done = self.run(self.evicted(needed, dry_run=False))
        assert (planned.victims, planned.kept) == (done.victims, done.kept)
        assert planned.freed == done.freed
        assert not self.down & {
            victim.repository.upstream for victim in done.victims if victim.repository is not None
        }
        left = {image_key(image) for image in self.images() if not image.complete}
        assert not complete & left, "a part of an image went"

    async def evicted(self, needed: int, *, dry_run: bool) -> EvictionReport:
        return await Eviction(eviction_ports(self.bench)).run(needed, "a test", dry_run=dry_run)

    @rule()
    def flush(self) -> None:
        self.run(self.bench.housekeeping.flush())

    @rule(minutes=st.sampled_from([1, 6, 60]))
    def time_passes(self, minutes: int) -> None:
        self.clock.advance(timedelta(minutes=minutes))

    @rule()
    def restart(self) -> None:
        self.run(self.bench.close())
        self.run(self.start())

    # What is always true.

    def images(self) -> Sequence[ImageSummary]:
        return self.runner.run(self.ground.facts.list_images(None, None, 1000))[0]

    @invariant()
    def what_is_recorded_is_there(self) -> None:
        self.runner.run(self.check_files())

    async def check_files(self) -> None:
        for digest in KNOWN:
            opened = self.ground.store.open(digest)
            size = None if opened is None else opened.size
            if opened is not None:
                opened.close()
            record = await self.ground.facts.get_stored(digest)
            assert size == (None if record is None else record.size)

    @invariant()
    def what_is_complete_can_be_pulled_from_nowhere(self) -> None:
        for image in self.images():
            if image.complete:
                self.runner.run(self.check_whole(image.repository, image.descriptor.digest))

    async def check_whole(self, repository: Repository, digest: Digest) -> None:
        offline = set_up(self.ground, self.upstreams, Habits(offline=True))
        await pull_below(offline, Route(repository, Approach.DIRECT), digest)
        await offline.close()


def image_key(image: ImageSummary) -> tuple[Repository, str | None, Digest]:
    return image.repository, image.tag, image.descriptor.digest


async def pull_image(bench: Workbench, route: Route, tag: Tag) -> Descriptor:
    """As a client does: by tag, and then everything by digest."""
    answer = await bench.manifests.resolve(route, tag, content=True)
    await pull_below(bench, route, answer.descriptor.digest)
    return answer.descriptor


async def pull_below(bench: Workbench, route: Route, digest: Digest) -> None:
    """Of an index, the first image that can be had. Raises OCIError when something is missing."""
    answer = await bench.manifests.get(route, digest)
    assert answer.content is not None
    assert digest.matches(answer.content)
    references = parse_references(Manifest(answer.descriptor.media_type, digest, answer.content))
    assert references is not None
    for described in references.blobs:
        content = await fetch(bench.blobs, route, described.digest)
        assert described.digest.matches(content)
    failure: OCIError | None = None
    for child in references.manifests:
        try:
            await pull_below(bench, route, child.digest)
        except OCIError as error:
            failure = error
        else:
            failure = None
            break
    if failure is not None:
        raise failure


async def leave_early(bench: Workbench, route: Route, digest: Digest) -> None:
    await (await begin(bench.blobs, route, digest)).leave()


def test_histories() -> None:
    run_state_machine_as_test(
        Histories,
        settings=settings(
            max_examples=40,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
