import asyncio
import socket
import threading
from collections.abc import AsyncIterator

import pytest

from mirror.upstream.guard import Guard
from mirror.upstream.resolver import Resolver, system_lookup
from tests.upstream.world import SetClock

HOST = "registry.example"


class NameServer:
    """Answers what it is told to; can be made to fail, and to wait."""

    def __init__(self) -> None:
        self.addresses: tuple[str, ...] = ("93.184.216.34",)
        self.error: OSError | None = None
        self.asked: list[str] = []
        self.at_once = threading.Event()
        self.at_once.set()

    def __call__(self, host: str, family: socket.AddressFamily) -> tuple[str, ...]:
        del family
        self.asked.append(host)
        assert self.at_once.wait(60)
        if self.error is not None:
            raise self.error
        return self.addresses


@pytest.fixture
async def server() -> AsyncIterator[NameServer]:
    server = NameServer()
    yield server
    server.at_once.set()


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
async def resolver(server: NameServer, clock: SetClock) -> AsyncIterator[Resolver]:
    resolver = Resolver(Guard([HOST]), clock, server, patience=60)
    yield resolver
    await resolver.close()


async def addresses(resolver: Resolver, host: str = HOST) -> list[str]:
    return [result["host"] for result in await resolver.resolve(host, 443)]


async def test_an_address_is_asked_for_once_in_a_while(
    resolver: Resolver, server: NameServer, clock: SetClock
) -> None:
    assert await addresses(resolver) == ["93.184.216.34"]
    assert await addresses(resolver) == ["93.184.216.34"]
    assert len(server.asked) == 1
    clock.pass_by(31)
    server.addresses = ("93.184.216.35", "2606:4700::1")
    assert await addresses(resolver) == ["93.184.216.35", "2606:4700::1"]


async def test_what_aiohttp_gets(resolver: Resolver, server: NameServer) -> None:
    server.addresses = ("93.184.216.34", "2606:4700::1")
    four, six = await resolver.resolve(HOST, 443)
    assert (four["hostname"], four["port"], four["family"]) == (HOST, 443, socket.AF_INET)
    assert six["family"] == socket.AF_INET6


async def test_a_failing_name_server_leaves_the_last_address_in_use_for_an_hour(
    resolver: Resolver, server: NameServer, clock: SetClock
) -> None:
    await addresses(resolver)
    server.error = socket.gaierror(-3, "Temporary failure in name resolution")
    clock.pass_by(3599)
    assert await addresses(resolver) == ["93.184.216.34"]
    clock.pass_by(2)
    with pytest.raises(OSError, match="Temporary failure"):
        await addresses(resolver)


async def test_an_unknown_name_is_an_error(resolver: Resolver, server: NameServer) -> None:
    server.error = socket.gaierror(-2, "Name or service not known")
    with pytest.raises(OSError, match="not known"):
        await addresses(resolver)
    server.error, server.addresses = None, ()
    with pytest.raises(OSError, match="no address"):
        await addresses(resolver)


async def test_many_who_ask_wait_for_one_answer_and_block_nobody(
    resolver: Resolver, server: NameServer
) -> None:
    server.at_once.clear()
    asking = [asyncio.create_task(addresses(resolver)) for _ in range(500)]
    await asyncio.sleep(0)
    asking[0].cancel()
    server.at_once.set()
    answers = await asyncio.gather(*asking[1:])
    assert {tuple(answer) for answer in answers} == {("93.184.216.34",)}
    assert len(server.asked) == 1


async def test_hundreds_of_slow_names_use_a_few_threads(
    resolver: Resolver, server: NameServer
) -> None:
    server.at_once.clear()
    before = threading.active_count()
    asking = [
        asyncio.create_task(addresses(resolver, f"host-{number}.example")) for number in range(300)
    ]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert threading.active_count() - before <= 8
    # Whatever the name server does, what others do in threads goes on.
    async with asyncio.timeout(30):
        assert await asyncio.to_thread(lambda: 42) == 42
    server.at_once.set()
    assert len(await asyncio.gather(*asking)) == 300


async def test_a_slow_name_server_is_not_waited_for_when_an_address_is_known(
    server: NameServer, clock: SetClock
) -> None:
    resolver = Resolver(Guard([HOST]), clock, server, patience=0.05)
    await addresses(resolver)
    clock.pass_by(31)
    server.at_once.clear()

    assert await addresses(resolver) == ["93.184.216.34"]
    await resolver.close()


def test_the_system_knows_localhost() -> None:
    assert "127.0.0.1" in system_lookup("localhost", socket.AF_INET)
