"""Other registries have habits of their own; each of them is one case here."""

import json
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from mirror.oci.manifest import Manifest
from mirror.oci.reference import Tag
from mirror.ports.upstream import UpstreamDenied, UpstreamInvalid, UpstreamThrottled
from mirror.upstream.credentials import Credential
from tests.simulated_hub import Fault, Redirects, SimulatedHub, make_image
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


def document(code: str, message: str = "") -> bytes:
    return json.dumps({"errors": [{"code": code, "message": message}]}).encode()


def docker_hub(hub: SimulatedHub) -> None:
    hub.redirects = Redirects(blobs=307)


def github(hub: SimulatedHub) -> None:
    hub.tokens.service = "ghcr.io"
    hub.tokens.fields = frozenset(("token",))
    hub.redirects = Redirects(blobs=307)


def quay(hub: SimulatedHub) -> None:
    hub.tokens.service = "quay.io"
    hub.tokens.fields = frozenset(("token",))
    hub.redirects = Redirects(blobs=302, heads=False)


def google(hub: SimulatedHub) -> None:
    hub.tokens.service = None
    hub.redirects = Redirects(blobs=302)


def kubernetes(hub: SimulatedHub) -> None:
    hub.tokens.mode = "none"
    hub.redirects = Redirects(blobs=307, manifests=307)


def microsoft(hub: SimulatedHub) -> None:
    hub.tokens.mode = "none"
    hub.strict_accept = True
    hub.redirects = Redirects(blobs=307)


def amazon_public(hub: SimulatedHub) -> None:
    hub.tokens.fields = frozenset(("token",))
    hub.redirects = Redirects(blobs=307)


def amazon_private(hub: SimulatedHub) -> None:
    hub.tokens.mode = "basic"
    hub.tokens.users["AWS"] = PASSWORD
    hub.redirects = Redirects(blobs=307)


def gitlab(hub: SimulatedHub) -> None:
    hub.redirects = Redirects(blobs=307)
    hub.faults.add(Fault(route="manifest", method="HEAD", kind="redirect", location="/nowhere"))
    hub.faults.add(Fault(route="any", method="HEAD", kind="status", status=403))


def red_hat(hub: SimulatedHub) -> None:
    hub.redirects = Redirects(blobs=302)
    hub.faults.add(Fault(route="manifest", method="HEAD", kind="no_digest_header"))


def azure(hub: SimulatedHub) -> None:
    hub.tokens.fields = frozenset(("access_token",))
    hub.redirects = Redirects(blobs=307)


def artifactory(hub: SimulatedHub) -> None:
    hub.tokens.users["AWS"] = PASSWORD
    hub.faults.add(Fault(route="manifest", kind="no_digest_header"))


def distribution(hub: SimulatedHub) -> None:
    hub.tokens.mode = "none"
    hub.strict_accept = True


def plain_http_server(hub: SimulatedHub) -> None:
    hub.tokens.mode = "none"
    hub.ranges = False
    hub.faults.add(Fault(route="manifest", kind="wrong_type"))


@pytest.mark.parametrize(
    "habits",
    [
        docker_hub,
        github,
        quay,
        google,
        kubernetes,
        microsoft,
        amazon_public,
        amazon_private,
        gitlab,
        red_hat,
        azure,
        artifactory,
        distribution,
        plain_http_server,
    ],
)
async def test_an_image_can_be_pulled(world: World, habits: Callable[[SimulatedHub], None]) -> None:
    image = push_image(world.hub)
    habits(world.hub)
    credential = Credential("AWS", PASSWORD) if world.hub.tokens.users else None
    upstream = world.upstream(credential=credential)
    found = await upstream.resolve(NAME, LATEST)
    assert found is not None
    assert found.digest == manifest_digest(image)
    fetched = await upstream.get_manifest(NAME, found.digest)
    assert fetched == Manifest(image.media_type, manifest_digest(image), image.content)
    digest, content = layer_digest(image), layer_bytes(image)
    assert await upstream.head_blob(NAME, digest) == len(content)
    assert await download(upstream, digest) == content
    assert await download(upstream, digest, 5000) == content[5000:]
    assert await download(upstream, digest, 10, 20) == content[10:20]
    cdn = world.hub.find("cdn")
    assert {each.authorization for each in cdn} <= {None}
    assert upstream.status().state == "ok"


@dataclass(frozen=True, slots=True)
class Missing:
    """How a registry says that there is no such tag, and what that is to us."""

    fault: Fault
    error: type[Exception] | None


@pytest.mark.parametrize(
    "missing",
    [
        pytest.param(Missing(Fault(route="manifest", kind="html", status=404), None), id="quay"),
        pytest.param(
            Missing(Fault(route="manifest", status=404, body=document("NAME_UNKNOWN")), None),
            id="google",
        ),
        pytest.param(
            Missing(
                Fault(route="token", status=403, body=document("DENIED", "denied")), UpstreamDenied
            ),
            id="github",
        ),
        pytest.param(
            Missing(Fault(route="manifest", status=401), UpstreamDenied), id="google, no challenge"
        ),
        pytest.param(
            Missing(Fault(route="manifest", status=403, body=document("DENIED")), UpstreamDenied),
            id="gitlab",
        ),
        pytest.param(
            Missing(
                Fault(route="manifest", status=404, body=document("UNKNOWN", "Not Found")), None
            ),
            id="red hat",
        ),
        pytest.param(
            Missing(Fault(route="manifest", status=404, body=b"not found"), None), id="harbor"
        ),
        pytest.param(
            Missing(
                Fault(route="manifest", status=429, body=document("toomanyrequests")),
                UpstreamThrottled,
            ),
            id="amazon, in a hurry",
        ),
        pytest.param(
            Missing(Fault(route="token", status=405), UpstreamInvalid), id="quay, sometimes"
        ),
    ],
)
async def test_what_they_say_instead_of_an_image(world: World, missing: Missing) -> None:
    push_image(world.hub)
    world.hub.faults.add(missing.fault)
    upstream = world.upstream()
    if missing.error is None:
        assert await upstream.resolve(NAME, Tag("absent")) is None
        return
    with pytest.raises(missing.error):
        await upstream.resolve(NAME, LATEST)


async def test_a_redirect_target_that_wants_a_login_gets_none(world: World) -> None:
    image = push_image(world.hub)
    world.hub.redirects = Redirects(manifests=307)
    challenge = ("WWW-Authenticate", f'Bearer realm="http://{world.hub.token_host}/token"')
    world.hub.faults.add(Fault(route="cdn", kind="status", status=401, headers=(challenge,)))
    upstream = world.upstream()
    with pytest.raises(UpstreamDenied):
        await upstream.get_manifest(NAME, manifest_digest(image))
    assert world.hub.count("token") == 1
    assert {each.authorization for each in world.hub.find("cdn")} == {None}


async def test_a_registry_below_a_path(world: World) -> None:
    image = make_image(layers=[b"layer"])
    world.hub.push(f"v2/{NAME}", "latest", image)
    upstream = world.upstream(url=f"{world.hub.url}/v2/")
    world.hub.tokens.mode = "none"
    found = await upstream.resolve(NAME, LATEST)
    assert found is not None
    assert world.hub.find("manifest")[0].path == f"/v2/v2/{NAME}/manifests/latest"
