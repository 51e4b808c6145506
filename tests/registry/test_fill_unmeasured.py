"""Blobs whose length the upstream does not say."""

from pathlib import Path

import pytest

from mirror.oci.digest import Digest
from mirror.oci.errors import BlobUnknown
from mirror.ports.upstream import UpstreamInvalid
from mirror.registry.fill import MOST_UNANNOUNCED
from tests.registry.one_layer import LAYER, SIZE, asking
from tests.registry.scripted_upstream import ScriptedUpstream
from tests.registry.workbench import (
    HUB,
    Workbench,
    disk_ground,
    fills_ended,
    names_in,
    set_up,
    settle,
)


@pytest.fixture
def unmeasured(hub_upstream: ScriptedUpstream, tapped: Digest) -> Digest:
    """A blob whose length nobody tells."""
    hub_upstream.announced[tapped] = None
    hub_upstream.trouble["head"] = UpstreamInvalid("no length")
    return tapped


async def test_a_length_that_the_answer_lacks_is_asked_for(
    bench: Workbench, hub_upstream: ScriptedUpstream, tapped: Digest
) -> None:
    hub_upstream.announced[tapped] = None
    client = await asking(bench, tapped)
    tap = await hub_upstream.next_tap()
    tap.let(50_000)
    reading = await client
    await reading.until(50_000)
    tap.let_rest()
    assert await reading.complete() == LAYER
    assert hub_upstream.count("head") == 1


async def test_without_a_length_readers_wait_for_the_end(
    bench: Workbench, hub_upstream: ScriptedUpstream, unmeasured: Digest
) -> None:
    client = await asking(bench, unmeasured)
    tap = await hub_upstream.next_tap()
    tap.let(SIZE)
    await settle()
    assert not client.done()
    tap.end()
    reading = await client
    assert await reading.complete() == LAYER
    await fills_ended()
    assert bench.has(unmeasured)


async def test_without_a_length_a_wrong_body_is_refused(
    bench: Workbench, hub_upstream: ScriptedUpstream, unmeasured: Digest
) -> None:
    client = await asking(bench, unmeasured)
    tap = await hub_upstream.next_tap()
    tap.let(SIZE - 1)
    tap.end()
    with pytest.raises(BlobUnknown):
        await client
    await fills_ended()
    assert not bench.has(unmeasured)


async def test_without_a_length_it_is_not_read_for_ever(
    tmp_path: Path, hub_upstream: ScriptedUpstream, unmeasured: Digest
) -> None:
    bench = set_up(disk_ground(tmp_path), {HUB: hub_upstream})
    client = await asking(bench, unmeasured)
    tap = await hub_upstream.next_tap()
    step = bytes(MOST_UNANNOUNCED // 8)
    for _ in range(9):
        tap.send(step)
    with pytest.raises(BlobUnknown, match="how much more"):
        await client
    await fills_ended()
    assert names_in(tmp_path / "ingest") == []
