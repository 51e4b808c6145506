"""Whom a registry may name as the place to get tokens: nobody that the operator did not name."""

import base64

import pytest
from yarl import URL

from mirror.oci.challenge import parse_challenges
from mirror.ports.upstream import UpstreamDenied, UpstreamError, UpstreamInvalid
from mirror.upstream.credentials import Credential
from mirror.upstream.origin import origin_of
from mirror.upstream.realm import BasicLogin, NoLogin, RealmPolicy, TokenService
from tests.simulated_hub import Canary, Fault, SimulatedHub
from tests.upstream.world import LATEST, NAME, PASSWORD, World, push_image

HUB = origin_of(URL("https://registry-1.docker.io"))
POLICY = RealmPolicy("docker.io", HUB, ["auth.docker.io"])
CREDENTIAL = Credential("somebody", PASSWORD)
BEARER = 'Bearer realm="{realm}",service="registry.docker.io"'

# {evil} is the canary, {own} the registry, {auth} the token service that the operator named.
HOSTILE_REALMS = [
    "http://{evil}/token",
    "https://{evil}/token",
    "HTTP://{evil}/token",
    "http://{evil}",
    "http://{evil}?realm=http://{auth}/token",
    "http://{evil}#http://{auth}/token",
    "http://{auth}@{evil}/token",
    "http://{own}@{evil}/token",
    "http://user:word@{evil}/token",
    "http://user:word@{auth}/token",
    "http://@{evil}/token",
    "http://{auth}%40{evil}/token",
    "http://{auth}\\@{evil}/token",
    "http://{evil}\\@{auth}/token",
    "http:\\\\{evil}\\token",
    "http:/{evil}/token",
    "http:{evil}/token",
    "http:///{evil}/token",
    "//{evil}/token",
    "\\\\{evil}\\token",
    "{evil}/token",
    "/token",
    "token",
    "",
    " http://{evil}/token",
    "http://{evil}/token ",
    "http://{evil}\t/token",
    "http://{auth}\t.{evil}/token",
    "http://localhost:{port}/token",
    "http://LOCALHOST:{port}/token",
    "http://127.1:{port}/token",
    "http://127.0.0.1.:{port}/token",
    "http://0x7f.0.0.1:{port}/token",
    "http://2130706433:{port}/token",
    "http://0.0.0.0:{port}/token",
    "http://[::1]:{port}/token",
    "http://[::ffff:127.0.0.1]:{port}/token",
    "http://127.0.0.1:0{port}/token",
    "http://\uff11\uff12\uff17.0.0.1:{port}/token",
    "http://\u0430uth.docker.io:{port}/token",
    "http://xn--uth-5cd.docker.io:{port}/token",
    "http://auth.docker.io.evil.example:{port}/token",
    "http://auth.docker.io:{port}/token",
    "http://169.254.169.254/latest/meta-data/",
    "http://127.0.0.1/token",
    "ftp://{evil}/token",
    "file:///etc/passwd",
    "gopher://{evil}/_token",
    "javascript:fetch('http://{evil}/')",
    "data:application/json,{{}}",
    f"https://{PASSWORD}.example/token",
    f"https://{PASSWORD}@{{evil}}/token",
]
HOSTILE_CHALLENGES = [
    'Bearer realm="http://{evil}/token",realm="http://{auth}/token",service="x"',
    'Bearer service="x, realm=\\"http://{auth}/token\\"",realm="http://{evil}/token"',
    'Bearer realm="http://{evil}/token?a=b,c",scope="repository:a:pull,push"',
    "Bearer realm=http://{evil}/token,service=x",
    'bearer REALM="http://{evil}/token"',
    'Negotiate abc=, Bearer realm="http://{evil}/token"',
    'Bearer realm="http://{evil}/token", Bearer realm="ftp://{auth}/token"',
    'Digest realm="http://{auth}/token", Bearer realm="http://{evil}/token"',
    'Bearer realm="http://{evil}/token"garbage',
    'Bearer realm="http://{evil}\\/token"',
]


def filled(text: str, hub: SimulatedHub, canary: Canary) -> str:
    return text.format(evil=canary.host, port=canary.port, own=hub.host, auth=hub.token_host)


async def assert_no_secret_left(world: World, canary: Canary, challenges: tuple[str, ...]) -> None:
    """Whatever error comes of the challenge, the canary sees nothing and no token is asked for."""
    push_image(world.hub)
    world.hub.tokens.challenges = challenges
    for credential in (CREDENTIAL, None):
        upstream = world.upstream(credential=credential)
        with pytest.raises(UpstreamError) as caught:
            await upstream.resolve(NAME, LATEST)
        assert isinstance(caught.value, UpstreamInvalid | UpstreamDenied)
        assert credential is None or PASSWORD not in str(caught.value)
    assert canary.connections == 0
    assert world.hub.count("token") == 0
    assert not [each for each in world.hub.requests if each.authorization is not None]


@pytest.mark.parametrize("realm", HOSTILE_REALMS)
async def test_a_realm_that_nobody_named_is_not_asked(world: World, realm: str) -> None:
    async with Canary(token="bait") as canary:
        challenge = BEARER.format(realm=filled(realm, world.hub, canary))
        # What HTTP itself cannot carry does not arrive; the rest must be survived.
        challenge = challenge.encode().decode("latin-1")
        await assert_no_secret_left(world, canary, (challenge,))


@pytest.mark.parametrize("challenge", HOSTILE_CHALLENGES)
async def test_odd_challenges_do_not_help(world: World, challenge: str) -> None:
    async with Canary(token="bait") as canary:
        await assert_no_secret_left(world, canary, (filled(challenge, world.hub, canary),))


async def test_the_good_one_of_two_challenges_is_taken(world: World) -> None:
    push_image(world.hub)
    async with Canary(token="bait") as canary:
        world.hub.tokens.challenges = (
            BEARER.format(realm=f"{canary.url}/token"),
            BEARER.format(realm=f"http://{world.hub.token_host}/token"),
        )
        upstream = world.upstream(credential=None)
        assert await upstream.resolve(NAME, LATEST) is not None
        assert canary.connections == 0


async def test_a_realm_that_turns_up_later_is_not_asked_either(world: World) -> None:
    push_image(world.hub)
    upstream = world.upstream(credential=None)
    await upstream.resolve(NAME, LATEST)
    async with Canary(token="bait") as canary:
        world.hub.revoke_tokens()
        world.hub.tokens.challenges = (BEARER.format(realm=f"{canary.url}/token"),)
        with pytest.raises(UpstreamInvalid):
            await upstream.resolve(NAME, LATEST)
        assert canary.connections == 0


async def test_the_refusal_names_the_host_and_the_line_to_add(world: World) -> None:
    push_image(world.hub)
    upstream = world.upstream(realms=[])
    with pytest.raises(UpstreamInvalid) as caught:
        await upstream.resolve(NAME, LATEST)
    host = world.hub.token_host
    assert f"upstreams.docker.io.realms: [{host}]" in str(caught.value)
    settled = world.upstream(realms=[host])
    assert await settled.resolve(NAME, LATEST) is not None


async def test_the_token_service_takes_nobody_along(world: World) -> None:
    push_image(world.hub)
    world.hub.tokens.users["somebody"] = PASSWORD
    async with Canary(token="bait") as canary:
        world.hub.faults.add(Fault(route="token", kind="redirect", location=f"{canary.url}/token"))
        with pytest.raises(UpstreamInvalid, match="answered 307"):
            await world.upstream(credential=CREDENTIAL).resolve(NAME, LATEST)
        assert canary.connections == 0


async def test_basic_goes_to_the_registry_itself_only(world: World) -> None:
    push_image(world.hub)
    world.hub.tokens.users["somebody"] = PASSWORD
    world.hub.tokens.mode = "basic"
    async with Canary() as canary:
        world.hub.tokens.challenges = (f'Basic realm="{canary.url}"',)
        upstream = world.upstream(credential=CREDENTIAL)
        assert await upstream.resolve(NAME, LATEST) is not None
        assert canary.connections == 0
    expected = "Basic " + base64.b64encode(f"somebody:{PASSWORD}".encode()).decode()
    assert {each.authorization for each in world.hub.find("manifest")} == {expected}


@pytest.mark.parametrize(
    ("registry", "realms", "realm", "allowed"),
    [
        ("https://registry-1.docker.io", ["auth.docker.io"], "https://auth.docker.io/token", True),
        ("https://registry-1.docker.io", ["auth.docker.io"], "https://AUTH.docker.io:443/t", True),
        ("https://registry-1.docker.io", ["auth.docker.io"], "https://auth.docker.io:444/t", False),
        ("https://registry-1.docker.io", ["auth.docker.io"], "http://auth.docker.io/token", False),
        ("https://registry-1.docker.io", ["auth.docker.io"], "https://a.auth.docker.io/t", False),
        ("https://registry-1.docker.io", ["auth.docker.io"], "https://docker.io/token", False),
        ("https://registry-1.docker.io", ["auth.docker.io"], "https://xauth.docker.io/t", False),
        (
            "https://registry-1.docker.io",
            ["auth.docker.io"],
            "https://registry-1.docker.io/t",
            True,
        ),
        ("https://registry-1.docker.io", ["a.io:8443"], "https://a.io:8443/t", True),
        ("https://registry-1.docker.io", ["a.io:8443"], "https://a.io/t", False),
        ("https://registry-1.docker.io", ["a.io:443"], "https://a.io/t", True),
        ("https://registry-1.docker.io", ["127.0.0.1:5001"], "http://127.0.0.1:5001/t", True),
        ("https://registry-1.docker.io", ["[::1]:5001"], "http://[::1]:5001/t", True),
        ("https://registry-1.docker.io", ["localhost"], "http://localhost/t", True),
        ("https://registry-1.docker.io", ["localhost"], "http://localhost:81/t", False),
        ("https://harbor.lan:8443", [], "https://harbor.lan:8443/service/token", True),
        ("https://harbor.lan:8443", [], "https://harbor.lan/service/token", False),
        ("https://harbor.lan:8443", [], "http://harbor.lan:8443/service/token", False),
        ("http://harbor.lan:5000", [], "http://harbor.lan:5000/service/token", True),
        ("http://harbor.lan:5000", [], "https://harbor.lan:5000/service/token", True),
        ("http://harbor.lan:5000", [], "http://harbor.lan:5001/service/token", False),
        ("http://harbor.lan:5000", ["auth.lan"], "http://auth.lan/token", True),
        ("https://ghcr.io", [], "https://ghcr.io/token", True),
        ("https://registry.gitlab.com", ["gitlab.com"], "https://gitlab.com/jwt/auth", True),
    ],
)
def test_host_and_port_must_be_the_very_same(
    registry: str, realms: list[str], realm: str, *, allowed: bool
) -> None:
    policy = RealmPolicy("x", origin_of(URL(registry)), realms)
    assert policy.allows(URL(realm, encoded=True)) is allowed


@pytest.mark.parametrize(
    "realm", ["", "a b", "https://auth.docker.io", "user@a.io", "a.io:x", "a/b"]
)
def test_realms_that_are_no_hosts_are_the_operators_mistake(realm: str) -> None:
    with pytest.raises(ValueError, match="host"):
        RealmPolicy("x", HUB, [realm])


def test_what_is_demanded() -> None:
    bearer = BEARER.format(realm="https://auth.docker.io/token?x=%2f")
    service = TokenService(
        URL("https://auth.docker.io/token?x=%2f", encoded=True), "registry.docker.io"
    )
    evil = 'Bearer realm="https://evil.example/"'
    assert POLICY.demand(parse_challenges([])) == NoLogin()
    assert POLICY.demand(parse_challenges(["Negotiate"])) == NoLogin()
    assert POLICY.demand(parse_challenges(["Bearer service=x"])) == NoLogin()
    assert POLICY.demand(parse_challenges(['Basic realm="x"', bearer])) == service
    assert POLICY.demand(parse_challenges([evil, 'Basic realm="x"'])) == BasicLogin()
    with pytest.raises(UpstreamInvalid, match=r"evil\.example"):
        POLICY.demand(parse_challenges([evil]))
