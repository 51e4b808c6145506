"""Who gets into the simulated hub: challenges, the token server, private repositories."""

from base64 import b64encode
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.simulated_hub import SimulatedHub, make_image, make_index
from tests.simulated_hub.raw_client import raw_request

NAME = "library/hello"
INDEX = make_index([make_image(layers=[b"layer"])])
MANIFEST = f"/v2/{NAME}/manifests/1"


class Wall:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}


async def token_for(
    hub: SimulatedHub, client: aiohttp.ClientSession, name: str = NAME, **headers: str
) -> dict[str, str]:
    query = {"service": "registry.docker.io", "scope": f"repository:{name}:pull"}
    async with client.get(hub.tokens.realm, params=query, headers=headers) as answer:
        assert answer.status == 200
        return {"Authorization": f"Bearer {(await answer.json())['token']}"}


async def test_without_a_token_there_is_a_challenge(
    hub: SimulatedHub, client: aiohttp.ClientSession
) -> None:
    hub.push(NAME, "1", INDEX)
    async with client.get(hub.url + MANIFEST) as answer:
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == (
            f'Bearer realm="http://{hub.token_host}/token",service="registry.docker.io",'
            f'scope="repository:{NAME}:pull"'
        )
        assert (await answer.json())["errors"][0]["code"] == "UNAUTHORIZED"
    async with client.get(hub.url + "/v2/") as answer:
        assert answer.status == 401
        assert "scope" not in answer.headers["WWW-Authenticate"]


async def test_a_token_opens_its_own_repository_only(
    hub: SimulatedHub, client: aiohttp.ClientSession
) -> None:
    hub.push(NAME, "1", INDEX)
    hub.push("library/other", "1", INDEX)
    token = await token_for(hub, client)
    async with client.get(hub.url + MANIFEST, headers=token) as answer:
        assert answer.status == 200
    async with client.get(hub.url + "/v2/library/other/manifests/1", headers=token) as answer:
        assert answer.status == 401
        assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]
    async with client.get(hub.url + "/v2/", headers=token) as answer:
        assert (answer.status, await answer.read()) == (200, b"{}")


async def test_tokens_expire_by_the_given_clock(client: aiohttp.ClientSession) -> None:
    wall = Wall()
    async with SimulatedHub(token_lifetime=60, clock=wall) as hub:
        hub.push(NAME, "1", INDEX)
        token = await token_for(hub, client)
        wall.now += 59
        async with client.get(hub.url + MANIFEST, headers=token) as answer:
            assert answer.status == 200
        wall.now += 1
        async with client.get(hub.url + MANIFEST, headers=token) as answer:
            assert answer.status == 401
            assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


async def test_revoked_tokens_are_refused_and_new_ones_work(
    hub: SimulatedHub, client: aiohttp.ClientSession
) -> None:
    hub.push(NAME, "1", INDEX)
    token = await token_for(hub, client)
    hub.revoke_tokens()
    async with client.get(hub.url + MANIFEST, headers=token) as answer:
        assert answer.status == 401
    async with client.get(hub.url + MANIFEST, headers=await token_for(hub, client)) as answer:
        assert answer.status == 200


async def test_a_missing_repository_is_401_and_a_missing_tag_404(
    hub: SimulatedHub, client: aiohttp.ClientSession
) -> None:
    hub.push(NAME, "1", INDEX)
    token = await token_for(hub, client, "library/none")
    async with client.get(hub.url + "/v2/library/none/manifests/1", headers=token) as answer:
        assert answer.status == 401
        assert (await answer.json())["errors"][0]["message"] == "authentication required"
    token = await token_for(hub, client)
    async with client.get(hub.url + f"/v2/{NAME}/manifests/2", headers=token) as answer:
        assert answer.status == 404
        assert (await answer.json())["errors"][0]["code"] == "MANIFEST_UNKNOWN"


async def test_a_private_repository_is_for_its_readers(client: aiohttp.ClientSession) -> None:
    async with SimulatedHub(users={"ann": "secret", "bob": "secret"}) as hub:
        hub.push(NAME, "1", INDEX)
        hub.make_private(NAME, "ann")
        statuses = []
        for credentials in ({}, basic("bob", "secret"), basic("ann", "secret")):
            token = await token_for(hub, client, **credentials)
            async with client.get(hub.url + MANIFEST, headers=token) as answer:
                statuses.append(answer.status)
        assert statuses == [401, 401, 200]


async def test_a_wrong_password_gets_no_token(
    hub: SimulatedHub, client: aiohttp.ClientSession
) -> None:
    async with client.get(hub.tokens.realm, headers=basic("ann", "wrong")) as answer:
        assert answer.status == 401


async def test_the_oauth_form_gets_a_token(client: aiohttp.ClientSession) -> None:
    async with SimulatedHub(users={"ann": "secret"}) as hub:
        hub.push(NAME, "1", INDEX)
        hub.make_private(NAME, "ann")
        form = {"grant_type": "password", "username": "ann", "password": "secret"}
        form["scope"] = f"repository:{NAME}:pull repository:library/x:pull"
        async with client.post(hub.tokens.realm, data=form) as answer:
            token = (await answer.json())["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        async with client.get(hub.url + MANIFEST, headers=headers) as answer:
            assert answer.status == 200


async def test_a_token_document_can_lack_fields(
    hub: SimulatedHub, client: aiohttp.ClientSession
) -> None:
    hub.tokens.fields = frozenset(("access_token",))
    async with client.get(hub.tokens.realm) as answer:
        assert set(await answer.json()) == {"access_token"}


async def test_the_challenge_can_be_another(hub: SimulatedHub) -> None:
    hub.tokens.realm, hub.tokens.service = "https://evil.example/token", None
    answer = await raw_request(hub.host, MANIFEST)
    assert answer.headers["WWW-Authenticate"].startswith(
        'Bearer realm="https://evil.example/token",scope='
    )
    hub.tokens.challenges = ('Basic realm="a, b"', "Bearer realm=x")
    answer = await raw_request(hub.host, MANIFEST)
    assert answer.headers.getall("WWW-Authenticate") == ['Basic realm="a, b"', "Bearer realm=x"]


async def test_basic_authentication(client: aiohttp.ClientSession) -> None:
    async with SimulatedHub(auth="basic", users={"ann": "secret"}) as hub:
        hub.push(NAME, "1", INDEX)
        async with client.get(hub.url + MANIFEST) as answer:
            assert (answer.status, answer.headers["WWW-Authenticate"]) == (
                401,
                'Basic realm="Registry"',
            )
        async with client.get(hub.url + MANIFEST, headers=basic("ann", "secret")) as answer:
            assert answer.status == 200
