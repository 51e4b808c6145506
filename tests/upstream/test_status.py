from mirror.ports.upstream import Upstream, UpstreamStatus
from mirror.upstream.settings import UpstreamSettings
from tests.simulated_hub import Redirects
from tests.upstream.world import LATEST, NAME, World, download, layer_digest, push_image


async def test_before_the_first_question_nothing_is_sent(world: World) -> None:
    upstream: Upstream = world.upstream()
    assert upstream.status() == UpstreamStatus("ok", None, None, 0, 0, 0, 0, None)
    assert world.hub.connections == 0


async def test_what_went_on_is_counted(world: World) -> None:
    image = push_image(world.hub, 50_000)
    world.hub.redirects = Redirects(blobs=307)
    upstream = world.upstream()
    await upstream.resolve(NAME, LATEST)
    await download(upstream, layer_digest(image))
    status = upstream.status()
    assert status.requests == len(world.hub.requests)
    assert status.tokens == world.hub.count("token") == 1
    assert status.errors == 0
    assert 50_000 <= status.bytes < 51_000


async def test_we_introduce_ourselves_to_the_registry_only(world: World) -> None:
    image = push_image(world.hub)
    world.hub.redirects = Redirects(blobs=307)
    settings = UpstreamSettings(
        "docker.io", world.hub.url, (world.hub.token_host,), instance="1f2e3d"
    )
    await download(world.upstream(settings=settings), layer_digest(image))
    for request in world.hub.requests:
        expected = "1.1 mirror-1f2e3d" if request.port_kind == "registry" else None
        assert request.headers.get("Via") == expected
        assert request.headers["User-Agent"].startswith("mirror/")
