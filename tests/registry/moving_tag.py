"""A tag that names one image upstream and then another, and what the server says of it."""

from mirror.oci.reference import Tag
from mirror.registry.answer import ManifestAnswer
from mirror.registry.routing import Route
from mirror.registry.statistics import Result
from tests.registry.scripted_download import What
from tests.registry.scripted_upstream import ScriptedUpstream
from tests.registry.workbench import FRESH, LATEST, MIRROR, Workbench
from tests.simulated_hub import blob, make_image

OLD = make_image(layers=[blob("old", 1000)])
NEW = make_image(layers=[blob("new", 1000)])


async def get(bench: Workbench, route: Route = MIRROR, tag: Tag = LATEST) -> ManifestAnswer:
    return await bench.manifests.resolve(route, tag, content=True)


async def head(bench: Workbench, route: Route = MIRROR, tag: Tag = LATEST) -> ManifestAnswer:
    return await bench.manifests.resolve(route, tag, content=False)


def asked(upstream: ScriptedUpstream) -> list[What]:
    """What it was asked since the last time."""
    questions = [each.what for each in upstream.asked]
    upstream.asked.clear()
    return questions


def stale(bench: Workbench) -> None:
    """The time passes after which a tag must be confirmed."""
    bench.clock.advance(FRESH)


async def pull(bench: Workbench) -> None:
    """It is here, and then the time passes after which it must be confirmed."""
    assert (await get(bench)).content == OLD.content
    stale(bench)


def is_stale_copy(answer: ManifestAnswer, reason: str) -> bool:
    handling = answer.handling
    return (
        answer.content == OLD.content
        and handling.result is Result.STALE
        and handling.ttl is None
        and handling.detail is not None
        and reason in handling.detail
    )
