"""What a pull costs upstream the first time, the next time, and when there is no upstream left."""

from tests.clients.client import Client, pulled
from tests.clients.conftest import MakeMirror
from tests.clients.images import make_sample, push
from tests.clients.mirror_server import MirrorServer, upstream
from tests.simulated_hub import SimulatedHub

HELLO = "docker.io/library/hello:1"
ALWAYS_ASK = {"default": True, "freshness": "0s"}


async def test_nothing_is_fetched_twice(
    client: Client, hub: SimulatedHub, mirror: MirrorServer
) -> None:
    sample = make_sample()
    push(hub, "library/hello", sample)
    assert await pulled(client, HELLO) == sample.told
    for digest in sample.blobs:
        assert hub.count("blob", "GET", digest=digest) == 1
    for digest in sample.manifests:
        assert hub.count("manifest", "GET", reference=digest) <= 1
    hub.log.requests.clear()
    assert await pulled(client, HELLO) == sample.told
    await client.forget()
    assert await pulled(client, HELLO) == sample.told
    await client.forget()
    assert await pulled(client, f"docker.io/library/hello@{sample.digest}") == sample.told
    assert not hub.requests
    assert mirror.program.is_running


async def test_a_pull_again_costs_no_quota(
    client: Client, hub: SimulatedHub, make_mirror: MakeMirror
) -> None:
    """A tag that has not moved is confirmed by HEAD, which Docker Hub does not count."""
    await make_mirror({"upstreams": {"docker.io": upstream(hub, **ALWAYS_ASK)}})
    sample, newer = make_sample(), make_sample(seed="newer")
    push(hub, "library/hello", sample)
    assert await pulled(client, HELLO) == sample.told
    hub.log.requests.clear()
    assert await pulled(client, HELLO) == sample.told
    assert {(each.route, each.method) for each in hub.requests} == {("manifest", "HEAD")}
    push(hub, "library/hello", newer)
    assert await pulled(client, HELLO) == newer.told


async def test_without_the_upstream(
    client: Client, hub: SimulatedHub, make_mirror: MakeMirror
) -> None:
    mirror = await make_mirror({"upstreams": {"docker.io": upstream(hub, **ALWAYS_ASK)}})
    sample = make_sample()
    push(hub, "library/hello", sample)
    assert await pulled(client, HELLO) == sample.told
    await hub.stop()
    assert await pulled(client, HELLO) == sample.told
    await client.forget()
    assert await pulled(client, HELLO) == sample.told
    mirror.terminate()
    assert await mirror.program.ended() == 0
    await mirror.start()
    await client.forget()
    assert await pulled(client, f"docker.io/library/hello@{sample.digest}") == sample.told
    await client.forget()
    assert await pulled(client, HELLO) == sample.told
