"""An ingest that several hold."""

import pytest

from mirror.oci.digest import digest_of
from mirror.ports.blobs import Ingest
from mirror.registry.shared_ingest import FillIngests
from tests.conformance.blobs import content_of
from tests.registry.workbench import Ground

CONTENT = b"content of a layer"
DIGEST = digest_of(CONTENT)


async def test_who_takes_it_while_it_is_held_gets_the_same(ground: Ground) -> None:
    ingests = FillIngests(ground.store)
    first = await ingests.take(DIGEST)
    await first.write(CONTENT[:7])
    second = await ingests.take(DIGEST)
    assert second.offset == 7
    await second.write(CONTENT[7:])
    second.close()
    assert await content_of(first.written(0, first.offset)) == CONTENT
    first.close()
    assert len(ingests) == 0


async def test_it_is_closed_with_the_last_hold_and_then_begun_again(ground: Ground) -> None:
    ingests = FillIngests(ground.store)
    first, second = await ingests.take(DIGEST), await ingests.take(DIGEST)
    await first.write(CONTENT)
    first.close()
    first.close()
    assert len(ingests) == 1
    second.close()
    assert len(ingests) == 0
    third = await ingests.take(DIGEST)
    assert third.offset == len(CONTENT)
    third.close()


async def abort(ingest: Ingest) -> None:
    await ingest.abort()


async def publish(ingest: Ingest) -> None:
    await ingest.publish(DIGEST)


async def quarantine(ingest: Ingest) -> None:
    await ingest.quarantine("for a test")


@pytest.mark.parametrize("end", [abort, publish, quarantine])
async def test_one_that_has_ended_is_taken_up_by_nobody(ground: Ground, end: object) -> None:
    ingests = FillIngests(ground.store)
    ended = await ingests.take(DIGEST)
    await ended.write(CONTENT)
    assert await content_of(ended.written(0, 1)) == CONTENT[:1]
    assert callable(end)
    await end(ended)
    new = await ingests.take(DIGEST)
    assert new.offset == 0
    await new.write(b"other")
    assert await content_of(ended.written(0, len(CONTENT))) == CONTENT
    ended.close()
    assert len(ingests) == 1
    new.close()
    assert len(ingests) == 0


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_every_digest_makes_an_id(ground: Ground, algorithm: str) -> None:
    digest = digest_of(CONTENT, algorithm)
    ingest = await FillIngests(ground.store).take(digest)
    await ingest.write(CONTENT)
    assert ingest.digest() == DIGEST
    assert ingest.hasher().hexdigest() == DIGEST.encoded
    assert await ingest.hash_range(0, 3) == digest_of(CONTENT[:3]).encoded
    await ingest.verify(digest)
    ingest.close()
