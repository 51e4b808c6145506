"""The guard in a real connector: what is refused is never dialled."""

import socket
from collections.abc import AsyncIterator, Sequence

import aiohttp
import pytest
from yarl import URL

from mirror.ports.upstream import UpstreamInvalid
from mirror.upstream.connection import Connection, HttpRequest
from mirror.upstream.guard import AddressRefused, Guard
from mirror.upstream.resolver import Resolver
from mirror.upstream.settings import UpstreamSettings
from mirror.upstream.tally import Tally
from tests.simulated_hub import Canary
from tests.upstream.world import SetClock


class Directory:
    """A name server in memory. Answers the addresses in turn, the last one for ever."""

    def __init__(self, **answers: Sequence[str]) -> None:
        self.answers = {name.replace("_", "."): list(each) for name, each in answers.items()}

    def __call__(self, host: str, family: socket.AddressFamily) -> tuple[str, ...]:
        del family
        answers = self.answers[host]
        return (answers.pop(0) if len(answers) > 1 else answers[0],)


class Outbound:
    """Connections of an upstream whose own host is at a public address."""

    def __init__(self, directory: Directory) -> None:
        self.clock = SetClock()
        self.guard = Guard(["registry.example"])
        self.guard.learn("registry.example", ["93.184.216.34"])
        resolver = Resolver(self.guard, self.clock, directory)
        settings = UpstreamSettings("example", "https://registry.example")
        self.connection = Connection(settings, self.guard, resolver, Tally())

    async def get(self, text: str) -> int:
        url = URL(text, encoded=True)
        response = await self.connection.send(HttpRequest("GET", url, ()))
        response.close()
        return response.status


@pytest.fixture
async def canary() -> AsyncIterator[Canary]:
    async with Canary(token="bait") as canary:
        yield canary


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "innocent.example",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "0.0.0.0",  # Linux takes it for loopback
        "127.1",
        "0x7f.1",
        "0177.0.0.1",
        "2130706433",
        "10.0.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "metadata.example",
    ],
)
async def test_nothing_internal_is_dialled_for_a_public_upstream(canary: Canary, host: str) -> None:
    directory = Directory(
        localhost=["127.0.0.1"],
        innocent_example=["127.0.0.1"],
        metadata_example=["169.254.169.254"],
    )
    directory.answers |= {"0x7f.1": ["127.0.0.1"], "0177.0.0.1": ["127.0.0.1"]}
    outbound = Outbound(directory)
    with pytest.raises(UpstreamInvalid) as caught:
        await outbound.get(f"http://{host}:{canary.port}/")
    assert str(caught.value).startswith("example: ")
    assert canary.connections == 0
    await outbound.connection.close()


async def test_a_name_that_changes_its_address_after_a_first_look_is_refused(
    canary: Canary,
) -> None:
    directory = Directory(rebinding_example=["93.184.216.34", "127.0.0.1"])
    outbound = Outbound(directory)
    assert outbound.guard.allows(directory("rebinding.example", socket.AF_INET)[0])
    with pytest.raises(UpstreamInvalid, match="not at a public address"):
        await outbound.get(f"http://rebinding.example:{canary.port}/")
    assert canary.connections == 0
    await outbound.connection.close()


async def test_one_internal_address_among_public_ones_is_not_dialled(canary: Canary) -> None:
    guard = Guard([])
    assert guard.allows("93.184.216.34")
    with pytest.raises(AddressRefused):
        guard((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", canary.port)))


async def test_a_private_upstream_may_send_us_to_its_own_kind_of_address(canary: Canary) -> None:
    guard = Guard(["registry.lan"])
    guard.learn("registry.lan", ["127.0.0.5"])
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(socket_factory=guard)) as session,
        session.get(canary.url) as response,
    ):
        assert response.status == 200
    assert canary.connections == 1
    assert not guard.allows("10.0.0.1")
    assert not guard.allows("169.254.169.254")


def test_the_kind_is_that_of_the_latest_resolution() -> None:
    guard = Guard(["registry.lan", "10.0.0.1"])
    assert guard.allows("10.9.9.9")
    assert not guard.allows("127.0.0.1")
    guard.learn("registry.lan", ["127.0.0.1"])
    assert guard.allows("127.0.0.1")
    guard.learn("registry.lan", ["93.184.216.34"])
    assert not guard.allows("127.0.0.1")


def test_hosts_that_nobody_named_teach_nothing() -> None:
    guard = Guard(["registry.example"])
    guard.learn("evil.example", ["10.0.0.1"])
    assert not guard.allows("10.0.0.1")
