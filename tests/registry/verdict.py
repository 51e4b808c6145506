"""How a chronicle has to end: nothing that was promised is lost, nothing that is dead is left."""

from collections.abc import Mapping
from datetime import timedelta

from mirror.oci.digest import Digest, parse_digest
from tests.registry.chronicle import (
    CACHED,
    CACHED_TOO,
    ELSEWHERE,
    EXPIRY,
    GRACE,
    ROUTES,
    Chronicle,
    all_of,
)
from tests.simulated_hub import blob, make_image

BYSTANDER = make_image(layers=[blob(f"bystander {number}", 10) for number in range(12)])
"""A sweep believes records only that are not a few beside many files."""

Sizes = Mapping[Digest, int]


async def judge(told: Chronicle) -> None:
    """All that was promised is there. Once nothing is promised any more, all that is dead goes."""
    await told.collect()
    for repository, digest in [key for key in told.promises.until if told.is_sure_of(key)]:
        assert await told.head(repository, digest)
    await _check_content(told)
    # Where the clock was set forward, it is seen now that it was.
    told.ground.clock.advance(timedelta(hours=1))
    await told.collect(dry_run=True)
    told.ground.clock.advance(GRACE + EXPIRY)
    await told.push(ELSEWHERE, BYSTANDER, None, 0)
    await told.sweep()
    before = await _garbage(told)
    await told.collect()
    left = await _garbage(told)
    assert sum(left.values()) * 100 <= sum(before.values()), f"{len(left)} blobs are left"
    await _check_rows_and_files(told)
    await _check_content(told)


async def _check_content(told: Chronicle) -> None:
    """Manifests are whole, and tags at what was pushed last."""
    for key in told.manifests:
        await told.pull_pushed(key)
    for (repository, tag), digest in told.tags.items():
        manifests = told.house.hosting.manifests
        answer = await manifests.resolve(ROUTES[repository], tag, content=True)
        assert answer.descriptor.digest == digest


async def _check_rows_and_files(told: Chronicle) -> None:
    facts, files = told.house.bench.facts, _files(told)
    for digest, size in files.items():
        record = await facts.get_stored(digest)
        assert record is not None, "a file without its row"
        assert record.size == size
    assert (await facts.totals()).blobs == len(files), "a row without its file"


async def _garbage(told: Chronicle) -> Sizes:
    """What is stored and belongs neither to a pushed manifest that is there nor to the cache."""
    facts, files = told.house.bench.facts, _files(told)
    needed = {parse_digest(name) for _, own in told.manifests for name in all_of(told.pool[own])}
    for digest in files:
        for cached in (CACHED, CACHED_TOO):
            blob_there = await facts.get_blob(cached, digest)
            manifest_there = await facts.get_manifest(cached, digest)
            if blob_there is not None or manifest_there is not None:
                needed.add(digest)
    return {digest: size for digest, size in files.items() if digest not in needed}


def _files(told: Chronicle) -> Sizes:
    """Of all that there ever was."""
    files = {}
    for digest in {parse_digest(name) for each in told.pool.values() for name in all_of(each)}:
        opened = told.ground.store.open(digest)
        if opened is not None:
            files[digest] = opened.size
            opened.close()
    return files
