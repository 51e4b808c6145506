"""kill -9 at any moment: whoever was told that a change was done may rely on its events."""

import asyncio
import random
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import pytest

from tests.life.process import Nursery, Server, order, running_server
from tests.ports import free_port
from tests.simulated_hub import digest_of
from tests.webhooks.sink import Reception, Sink, running_sink

KILLS = 4
SEED = 20260101


def told(sink: Sink) -> Mapping[str, str]:
    webhook = f'{{url: "{sink.url}", secret: s3cret, timeout: 60s}}'
    return {"MIRROR__WEBHOOKS": f"[{webhook}]", "MIRROR__CACHE__MIN_FREE": "1MiB"}


async def push(client: aiohttp.ClientSession, server: Server, number: int) -> str:
    """A blob of its own for each number: its digest, once it was acknowledged."""
    content = f"layer {number}".encode()
    digest = digest_of(content)
    url = f"{server.url}/v2/app/blobs/uploads/?digest={digest}"
    async with client.post(url, data=content) as answer:
        assert answer.status == 201, await answer.text()
    return digest


def digests(sink: Sink) -> list[str]:
    """Of the events that it took, each when it came first."""
    found = [event["target"]["digest"] for each in sink.taken for event in each.events]
    return list(dict.fromkeys(found))


async def until_taken(sink: Sink, wanted: list[str]) -> None:
    async with asyncio.timeout(60):
        await sink.bell.until(lambda: set(wanted) <= set(digests(sink)))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


async def test_killed_before_anything_was_delivered(nursery: Nursery, data: Path) -> None:
    gone = Sink(port=free_port())
    settings = told(gone)
    async with aiohttp.ClientSession() as client, running_sink() as sink:
        async with running_server(nursery, order(data, settings)) as server:
            pushed = [await push(client, server, number) for number in range(3)]
            await server.program.kill()
        settings = {**told(sink), "MIRROR__WEBHOOKS": renamed(told(sink), gone)}
        async with running_server(nursery, order(data, settings)):
            await until_taken(sink, pushed)
        assert digests(sink) == pushed


def renamed(settings: Mapping[str, str], gone: Sink) -> str:
    """The same webhook at another address: its queue goes by its name."""
    name = f'name: "127.0.0.1:{gone.port}"'
    return settings["MIRROR__WEBHOOKS"].replace("secret:", f"{name}, secret:")


async def test_killed_while_a_message_is_under_way(nursery: Nursery, data: Path) -> None:
    """The receiver has it, the server does not know that: it comes again, with the same id."""
    async with aiohttp.ClientSession() as client, running_sink() as sink:
        sink.receptions.append(Reception("hang"))
        async with running_server(nursery, order(data, told(sink))) as server:
            pushed = [await push(client, server, 0)]
            await sink.until_received(1)
            pushed += [await push(client, server, number) for number in (1, 2)]
            await server.program.kill()
        async with running_server(nursery, order(data, told(sink))):
            await until_taken(sink, pushed)
        assert digests(sink) == pushed
        hung = sink.received[0]
        assert hung.ids[0] == sink.taken[0].ids[0]
        assert hung.headers["x-mirror-delivery"] != "", "told apart from other messages"


async def test_killed_again_and_again_while_pushes_go_on(nursery: Nursery, data: Path) -> None:
    chance, pushed = random.Random(SEED), list[str]()  # noqa: S311 - any moments will do
    async with aiohttp.ClientSession() as client, running_sink() as sink:
        for _ in range(KILLS):
            async with running_server(nursery, order(data, told(sink))) as server:
                await push_until_killed(client, server, pushed, chance.randrange(1, 12))
        async with running_server(nursery, order(data, told(sink))):
            await until_taken(sink, pushed)
        came = digests(sink)
        assert [digest for digest in came if digest in set(pushed)] == pushed, "in their order"
        assert len(came) - len(pushed) <= KILLS, "besides those only what was not acknowledged"


async def push_until_killed(
    client: aiohttp.ClientSession, server: Server, pushed: list[str], count: int
) -> None:
    """The kill comes when so many were acknowledged, somewhere in the next one."""
    start = 1000 * len(pushed)
    killing: asyncio.Task[None] | None = None
    for number in range(start, start + 1_000_000):
        if number == start + count:
            killing = asyncio.create_task(server.program.kill())
        try:
            pushed.append(await push(client, server, number))
        except (aiohttp.ClientError, ConnectionError):
            break
    assert killing is not None
    await killing
