"""Foreign exceptions stop at the border, and what they say is fit for people and logs."""

import asyncio
import socket
import ssl
import traceback

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from mirror.ports.upstream import (
    UpstreamError,
    UpstreamFailed,
    UpstreamInvalid,
    UpstreamUnreachable,
)
from mirror.upstream.client import HttpUpstream
from mirror.upstream.credentials import Credential
from mirror.upstream.errors import excerpt
from mirror.upstream.settings import Timeouts, UpstreamSettings
from tests.simulated_hub import Fault, Redirects, SimulatedHub
from tests.simulated_hub.faults import Kind
from tests.upstream.world import (
    LATEST,
    NAME,
    PASSWORD,
    SetClock,
    World,
    download,
    layer_digest,
    manifest_digest,
    push_image,
)

CREDENTIAL = Credential("somebody", PASSWORD)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain words", "plain words"),
        ("two\r\nlines\tand\x00\x1b[31mcolours", "two lines and [31mcolours"),
        ("right\u202eleft", "right left"),
        ("see https://a.io/x?token=abc&b=c now", "see https://a.io/x now"),
        ("sha256:" + "a" * 64, "sha256:[...]"),
        (f"you sent {PASSWORD}", "you sent [redacted]"),
        ("eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.e30.x", "[...].e30.x"),
        ("a " * 300, "a " * 98 + "a..."),
        ("", ""),
    ],
)
def test_hostile_text_becomes_one_short_line(text: str, expected: str) -> None:
    assert excerpt(text, CREDENTIAL.secrets) == expected


@given(text=st.text(max_size=1000))
def test_whatever_it_is(text: str) -> None:
    line = excerpt(text, CREDENTIAL.secrets)
    assert len(line) <= 200
    assert line.isprintable()
    assert PASSWORD not in line


def test_a_credential_is_not_shown() -> None:
    assert PASSWORD not in repr(CREDENTIAL)
    settings = UpstreamSettings("x", "https://a.io", credential=CREDENTIAL)
    assert PASSWORD not in repr(settings)


def test_an_empty_password_is_no_secret() -> None:
    assert excerpt("plain words", Credential("anybody", "").secrets) == "plain words"


async def test_an_upstream_that_sends_our_secrets_back_gives_nothing_away(world: World) -> None:
    push_image(world.hub)
    world.hub.tokens.users["somebody"] = PASSWORD
    upstream = world.upstream(credential=CREDENTIAL)
    await upstream.resolve(NAME, LATEST)
    echo = f"you said {CREDENTIAL.basic} which is {PASSWORD}, see https://a.io/?t={PASSWORD}"
    for status in (500, 429, 400, 200):
        fault = Fault(
            route="manifest",
            method="GET",
            status=status,
            body=echo.encode(),
            headers=(("Content-Type", PASSWORD),),
        )
        world.hub.faults.add(fault)
        with pytest.raises(UpstreamError) as caught:
            await upstream.get_manifest(NAME, manifest_digest(push_image(world.hub)))
        world.hub.faults.clear()
        world.clock.pass_by(61)
        for secret in CREDENTIAL.secrets:
            assert secret not in str(caught.value)
            assert secret not in str(upstream.status())


async def test_nobody_listens(world: World) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        upstream = world.upstream(url=f"http://127.0.0.1:{port}")
        with pytest.raises(UpstreamUnreachable) as caught:
            await upstream.resolve(NAME, LATEST)
    assert (
        str(caught.value)
        == f"docker.io: 127.0.0.1:{port} does not accept connections: Connection refused"
    )


async def test_no_such_host(world: World) -> None:
    def lookup(host: str, family: socket.AddressFamily) -> tuple[str, ...]:
        del host, family
        raise socket.gaierror(-2, "Name or service not known")

    upstream = world.upstream(url="https://registry.example", lookup=lookup)
    with pytest.raises(UpstreamUnreachable) as caught:
        await upstream.resolve(NAME, LATEST)
    assert str(caught.value) == (
        "docker.io: the name registry.example cannot be resolved: Name or service not known"
    )


async def test_a_name_server_that_never_answers_has_a_deadline(world: World) -> None:
    timeouts = Timeouts(connect=0.05, headers=1.0)
    release = socket.socketpair()

    def lookup(host: str, family: socket.AddressFamily) -> tuple[str, ...]:
        del host, family
        release[0].recv(1)
        return ("127.0.0.1",)

    upstream = world.upstream(url="https://registry.example", timeouts=timeouts, lookup=lookup)
    with pytest.raises(UpstreamUnreachable) as caught:
        await upstream.resolve(NAME, LATEST)
    assert str(caught.value) == "docker.io: no connection to registry.example in time"
    release[1].close()
    await upstream.close()
    release[0].close()


async def test_a_certificate_that_nobody_vouches_for() -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(server)
    async with SimulatedHub(tls=server) as hub:
        world = World(hub)
        settings = UpstreamSettings("docker.io", hub.url, (hub.token_host,), CREDENTIAL)
        with pytest.raises(UpstreamUnreachable, match=r"certificate of .* is not trusted: unable"):
            await world.upstream(settings=settings).resolve(NAME, LATEST)
        assert hub.requests == []
        await world.close()


async def test_a_certificate_for_somebody_else() -> None:
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("registry.example").configure_cert(server)
    authority.configure_trust(client)
    async with SimulatedHub(tls=server) as hub:
        world = World(hub)
        settings = UpstreamSettings("docker.io", hub.url, (hub.token_host,), tls=client)
        with pytest.raises(UpstreamUnreachable, match="certificate"):
            await world.upstream(settings=settings).resolve(NAME, LATEST)
        assert hub.requests == []
        await world.close()


async def test_tls_where_there_is_none(world: World) -> None:
    def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        upstream = world.upstream(url=f"https://127.0.0.1:{port}")
        with pytest.raises(UpstreamUnreachable, match="no TLS connection"):
            await upstream.resolve(NAME, LATEST)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("garbage", UpstreamInvalid),
        ("huge_header", UpstreamInvalid),
        ("reset", UpstreamUnreachable),
        ("close", UpstreamUnreachable),
    ],
)
async def test_what_is_not_http(world: World, kind: Kind, error: type[UpstreamError]) -> None:
    push_image(world.hub)
    world.hub.faults.add(Fault(route="manifest", kind=kind))
    with pytest.raises(error) as caught:
        await world.upstream().resolve(NAME, LATEST)
    assert str(caught.value).startswith("docker.io: ")
    assert str(caught.value).isprintable()


async def test_a_page_for_people_is_not_quoted(world: World) -> None:
    push_image(world.hub)
    world.hub.faults.add(Fault(route="manifest", kind="html", status=502))
    with pytest.raises(UpstreamFailed) as caught:
        await world.upstream().resolve(NAME, LATEST)
    assert str(caught.value) == f"docker.io: {world.hub.host} answered 502"


@pytest.mark.parametrize(
    "url",
    ["", "registry.example", "ftp://a.io", "https://user@a.io", "https://a.io/?x", "https://a b"],
)
def test_an_address_that_is_none_is_the_operators_mistake(url: str) -> None:
    with pytest.raises(ValueError, match="not the address"):
        HttpUpstream(UpstreamSettings("x", url), SetClock())


async def test_a_traceback_shows_no_signed_address(world: World) -> None:
    image = push_image(world.hub)
    world.hub.redirects = Redirects(blobs=307)
    world.hub.tokens.users["somebody"] = PASSWORD
    for kind in ("garbage", "huge_header", "reset", "duplicate_length"):
        world.hub.faults.add(Fault(route="cdn", kind=kind))
        with pytest.raises(UpstreamError) as caught:
            await download(world.upstream(credential=CREDENTIAL), layer_digest(image))
        shown = "".join(traceback.format_exception(caught.value))
        for secret in ("sig=", "hub-token", *CREDENTIAL.secrets):
            assert secret not in shown
        world.hub.faults.clear()
