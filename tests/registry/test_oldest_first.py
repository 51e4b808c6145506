"""Two scans woven into one, whatever their pages are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.metadata.memory import MemoryMetadata
from mirror.oci.digest import Digest
from mirror.oci.manifest import References
from mirror.ports.metadata import BlobRecord, IdleBlob, IdleManifest
from mirror.registry.oldest_first import oldest_first
from tests.conformance.metadata import NGINX, at, digest, manifest

moments = st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=12)


async def shelve(content: list[tuple[bool, int]]) -> MemoryMetadata:
    """Of each the number is its name: a manifest or a blob, and when it was used."""
    facts = MemoryMetadata()
    for number, (is_manifest, moment) in enumerate(content):
        name = str(number)
        if is_manifest:
            nothing = References((), (), None)
            await facts.put_manifest(NGINX, manifest(name), nothing, at(moment))
        else:
            await facts.put_blob(NGINX, BlobRecord(digest(name), 1), at(moment))
    return facts


@pytest.mark.parametrize("page", [1, 2, 500])
async def test_nothing_comes_of_nothing(page: int) -> None:
    assert [idle async for idle in oldest_first(MemoryMetadata(), page)] == []


@given(moments, st.sampled_from([1, 2, 3, 500]))
async def test_everything_comes_once_and_in_order(
    content: list[tuple[bool, int]], page: int
) -> None:
    found = [idle async for idle in oldest_first(await shelve(content), page)]
    times = [idle.last_used_at for idle in found]
    assert times == sorted(times)
    names = [_digest(idle) for idle in found]
    assert len(names) == len(set(names))
    assert set(names) == {digest(str(number)) for number in range(len(content))}


@given(moments)
async def test_of_the_same_moment_manifests_come_first(content: list[tuple[bool, int]]) -> None:
    """Their layers are theirs to take."""
    found = [idle async for idle in oldest_first(await shelve(content), 2)]
    order = [(idle.last_used_at, not isinstance(idle, IdleManifest)) for idle in found]
    assert order == sorted(order)


async def test_what_is_removed_behind_it_changes_nothing() -> None:
    facts = await shelve([(number % 2 == 0, number) for number in range(10)])
    found = []
    async for idle in oldest_first(facts, 1):
        found.append(_digest(idle))
        if isinstance(idle, IdleManifest):
            await facts.evict([idle], [], at(100))
        await facts.evict([], [_digest(idle)], at(100))
    assert found == [digest(str(number)) for number in range(10)]


def _digest(idle: IdleManifest | IdleBlob) -> Digest:
    return idle.descriptor.digest if isinstance(idle, IdleManifest) else idle.blob.digest
