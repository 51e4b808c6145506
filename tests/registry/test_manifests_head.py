"""HEAD costs no GET, and a GET after it is the only one."""

import pytest

from mirror.oci.errors import ManifestUnknown
from mirror.oci.manifest import Manifest
from mirror.registry.answer import Handling
from mirror.registry.statistics import Result
from tests.registry.moving_tag import NEW, asked, get, head, stale
from tests.registry.scripted_upstream import ScriptedUpstream
from tests.registry.workbench import NAME, Workbench


async def test_a_head_of_a_cold_tag_costs_no_get(
    bench: Workbench, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    answer = await head(bench)
    assert (answer.descriptor, answer.content) == (old.descriptor, None)
    assert asked(hub_upstream) == ["resolve"]
    assert answer.handling == Handling(Result.MISS, ttl=300, stored=False)
    answer = await head(bench)
    assert answer.descriptor == old.descriptor
    assert answer.handling == Handling(Result.HIT, ttl=300)
    assert asked(hub_upstream) == []


async def test_a_head_and_then_a_get_is_one_head_and_one_get(
    bench: Workbench, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    await head(bench)
    assert (await get(bench)).content == old.content
    assert asked(hub_upstream) == ["resolve", "manifest"]


async def test_heads_of_a_tag_that_moves_cost_no_get_either(
    bench: Workbench, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    assert (await head(bench)).descriptor == old.descriptor
    new = hub_upstream.push(NAME, "latest", NEW)
    stale(bench)
    assert (await head(bench)).descriptor == new.descriptor
    assert asked(hub_upstream) == ["resolve", "resolve"]


async def test_what_a_head_named_and_is_gone_is_asked_for_again(
    bench: Workbench, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    await head(bench)
    new = hub_upstream.push(NAME, "latest", NEW)
    del hub_upstream.manifests[NAME, old.digest]
    assert (await get(bench)).content == new.content
    assert asked(hub_upstream) == ["resolve", "manifest", "resolve", "manifest"]


async def test_a_tag_whose_manifest_nobody_has(
    bench: Workbench, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    del hub_upstream.manifests[NAME, old.digest]
    for _ in range(2):
        with pytest.raises(ManifestUnknown):
            await get(bench)
    assert hub_upstream.count("manifest") == 1


async def test_where_a_head_tells_too_little_the_get_is_the_only_one(
    bench: Workbench, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    hub_upstream.unclear_heads = True
    answer = await head(bench)
    assert (answer.descriptor, answer.handling.result) == (old.descriptor, Result.MISS)
    assert (await get(bench)).content == old.content
    assert asked(hub_upstream) == ["resolve"]
    new = hub_upstream.push(NAME, "latest", NEW)
    stale(bench)
    answer = await get(bench)
    assert (answer.content, answer.handling.result) == (new.content, Result.MISS)
    assert asked(hub_upstream) == ["resolve"]
