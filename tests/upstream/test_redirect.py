"""Redirects are followed to the right places, and take nothing along."""

import ssl
from collections.abc import AsyncIterator

import pytest
import trustme
from yarl import URL

from mirror.ports.upstream import UpstreamInvalid
from mirror.upstream.credentials import Credential
from mirror.upstream.redirect import next_hop
from mirror.upstream.settings import UpstreamSettings
from tests.simulated_hub import Canary, Fault, Redirects, SimulatedHub
from tests.upstream.world import (
    LATEST,
    NAME,
    PASSWORD,
    World,
    download,
    layer_bytes,
    layer_digest,
    manifest_digest,
    push_image,
)

CREDENTIAL = Credential("somebody", PASSWORD)
STATUSES = [301, 302, 303, 307, 308]
ALLOWED_ELSEWHERE = {"host", "accept", "accept-encoding", "user-agent", "range"}

# Places that a hub on loopback may send us to, as far as they are well formed.
REACHABLE = [
    "http://{evil}/x",
    "HTTP://{evil}/x",
    "//{evil}/x",
    "http://{evil}/x#fragment",
    "http://{evil}/x?token=1",
    "http://{evil}",
    "http://localhost:{port}/x",
    "http://{evil}/v2/library/nginx/blobs/sha256:aa",
    "http://{evil}/%2e%2e/x",
    "http://{evil}/x?realm=http://{own}/",
]
# Places that nobody may send us to.
FORBIDDEN = [
    "http://user:word@{evil}/x",
    "http://user@{evil}/x",
    "http://@{evil}/x",
    "http://{own}@{evil}/x",
    "//user@{evil}/x",
    "http://{own}\\@{evil}/x",
    "/\\{evil}/x",
    "\\\\{evil}\\x",
    "http:/{evil}/x",
    "http:{evil}/x",
    "http:///{evil}/x",
    "///{evil}/x",
    "ftp://{evil}/x",
    "file:///etc/passwd",
    "gopher://{evil}/x",
    "data:,x",
    "javascript:alert(1)",
    "http://{evil} /x",
    "http://{evil}/x y",
    "http://127.1:{port}/x",
    "http://0x7f.0.0.1:{port}/x",
    "http://2130706433:{port}/x",
    "http://0.0.0.0:{port}/x",
    "http://10.0.0.1:{port}/x",
    "http://192.168.0.1:{port}/x",
    "http://100.100.100.200:{port}/x",
    "http://169.254.169.254/latest/meta-data/iam/",
    "http://[fd00:ec2::254]/latest/meta-data/",
    "http://[fe80::1]:{port}/x",
    "http://[::]:{port}/x",
    "http://[64:ff9b::a9fe:a9fe]/x",
    "http://224.0.0.1:{port}/x",
    "http://{evil}:{port}:{port}/x",
    "http://127.0.0.1:0/x",
    "http://127.0.0.1:99999/x",
    f"ftp://{PASSWORD}.example/x",
    f"http://{PASSWORD}@{{evil}}/x",
    "http://\u0430uth.docker.io/x",
    "",
]


@pytest.fixture
async def canary() -> AsyncIterator[Canary]:
    async with Canary(token="bait") as canary:
        yield canary


def filled(text: str, hub: SimulatedHub, canary: Canary) -> str:
    text = text.format(evil=canary.host, port=canary.port, own=hub.host)
    return text.encode().decode("latin-1")


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("location", REACHABLE)
async def test_nothing_of_ours_arrives_at_another_host(
    world: World, canary: Canary, location: str, status: int
) -> None:
    image = push_image(world.hub)
    world.hub.tokens.users["somebody"] = PASSWORD
    cookie = ("Set-Cookie", "session=secret-cookie; Path=/")
    place = filled(location, world.hub, canary)
    world.hub.faults.add(
        Fault(route="blob", kind="redirect", status=status, location=place, headers=(cookie,))
    )
    upstream = world.upstream(credential=CREDENTIAL)
    for _ in range(2):
        assert await download(upstream, layer_digest(image), start=7) is not None
    assert [each.authorization is not None for each in world.hub.find("blob")] == [True, True]
    request, _, _ = canary.received.decode("latin-1").partition("\r\n\r\n")
    for secret in (PASSWORD, "hub-token", "Authorization", "Cookie", "Via", "secret-cookie"):
        assert secret.lower() not in canary.received.decode("latin-1").lower()
    names = {line.partition(":")[0].lower() for line in request.split("\r\n")[1:]}
    assert names == ALLOWED_ELSEWHERE
    assert "Range: bytes=7-" in request


@pytest.mark.parametrize("location", FORBIDDEN)
async def test_a_forbidden_place_is_never_connected_to(
    world: World, canary: Canary, location: str
) -> None:
    image = push_image(world.hub)
    world.hub.tokens.users["somebody"] = PASSWORD
    fault = Fault(route="blob", kind="redirect", location=filled(location, world.hub, canary))
    world.hub.faults.add(fault)
    if not location:
        world.hub.faults.clear()
        world.hub.faults.add(Fault(route="blob", kind="status", status=302))
    with pytest.raises(UpstreamInvalid) as caught:
        await download(world.upstream(credential=CREDENTIAL), layer_digest(image))
    assert PASSWORD not in str(caught.value)
    assert str(caught.value).startswith("docker.io: ")
    assert canary.connections == 0


@pytest.mark.parametrize("status", STATUSES)
async def test_blobs_come_from_the_cdn_with_the_signed_query_as_it_was(
    world: World, status: int
) -> None:
    image = push_image(world.hub)
    world.hub.redirects = Redirects(blobs=status)
    assert await download(world.upstream(), layer_digest(image)) == layer_bytes(image)
    (fetched,) = world.hub.find("cdn")
    assert fetched.status == 200
    assert fetched.raw_query.endswith(world.hub.cdn.query)
    assert fetched.authorization is None


async def test_a_relative_redirect_stays_at_the_registry_and_keeps_the_login(world: World) -> None:
    image = push_image(world.hub)
    world.hub.redirects = Redirects(blobs=307, relative=True)
    assert await download(world.upstream(), layer_digest(image)) == layer_bytes(image)
    (fetched,) = world.hub.find("cdn")
    assert fetched.port_kind == "registry"
    assert fetched.authorization is not None


@pytest.mark.parametrize("status", STATUSES)
async def test_manifests_may_come_from_another_registry_without_a_login(
    world: World, status: int
) -> None:
    image = push_image(world.hub)
    world.hub.redirects = Redirects(manifests=status)
    upstream = world.upstream()
    manifest = await upstream.get_manifest(NAME, manifest_digest(image))
    assert manifest is not None
    assert manifest.content == image.content
    assert await upstream.resolve(NAME, LATEST) == manifest.descriptor
    assert {each.authorization for each in world.hub.find("cdn")} == {None}


async def test_a_loop_has_an_end(world: World) -> None:
    image = push_image(world.hub)
    world.hub.faults.add(Fault(route="blob", kind="redirect"))
    with pytest.raises(UpstreamInvalid, match="more than 5 redirects"):
        await download(world.upstream(), layer_digest(image))
    assert world.hub.count("blob") == 6


async def test_each_download_asks_the_registry_anew(world: World) -> None:
    image = push_image(world.hub)
    world.hub.redirects = Redirects(blobs=302)
    world.hub.cdn.one_time = True
    world.hub.faults.add(
        Fault(route="blob", kind="redirect", headers=(("Cache-Control", "max-age=3600"),), times=0)
    )
    upstream = world.upstream()
    for start in (0, 10, 20):
        assert await download(upstream, layer_digest(image), start) == layer_bytes(image)[start:]
    assert world.hub.count("blob") == 3


async def test_a_signed_address_that_expired_is_replaced_by_a_new_one(world: World) -> None:
    image = push_image(world.hub)
    world.hub.redirects = Redirects(blobs=307)
    world.hub.faults.add(Fault(route="cdn", kind="status", status=403, times=1))
    assert await download(world.upstream(), layer_digest(image)) == layer_bytes(image)
    assert world.hub.count("blob") == 2


async def test_from_https_there_is_no_way_back_to_http(canary: Canary) -> None:
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    async with SimulatedHub(tls=server) as hub:
        world = World(hub)
        image = push_image(hub)
        settings = UpstreamSettings("docker.io", hub.url, (hub.token_host,), tls=client)
        upstream = world.upstream(settings=settings)
        assert await download(upstream, layer_digest(image)) == layer_bytes(image)
        hub.faults.add(Fault(route="blob", kind="redirect", location=f"{canary.url}/x"))
        with pytest.raises(UpstreamInvalid, match="from https to http"):
            await download(upstream, layer_digest(image))
        assert canary.connections == 0
        await world.close()


@pytest.mark.parametrize(
    ("current", "location", "target"),
    [
        ("https://a.io/x", "https://b.io/y", "https://b.io/y"),
        ("http://a.io/x", "https://b.io/y", "https://b.io/y"),
        ("http://a.io/x", "http://b.io/y", "http://b.io/y"),
        ("http://a.io/x", "/y?z=%2F", "http://a.io/y?z=%2F"),
    ],
)
def test_where_a_redirect_leads(current: str, location: str, target: str) -> None:
    assert str(next_hop(URL(current), location)) == target


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        (None, "without a Location"),
        ("", "not a plain"),
        ("http://b.io/y", "from https to http, at b.io"),
        ("https://b.io/y?\x1b[31m", "not a plain"),
        ("ftp://b.io/y?sig=secret", "ftp://b.io/y"),
    ],
)
def test_why_a_redirect_is_not_followed(location: str | None, reason: str) -> None:
    refusal = next_hop(URL("https://a.io/x"), location)
    assert isinstance(refusal, str)
    assert reason in refusal
    assert "secret" not in refusal
    assert refusal.isprintable()
