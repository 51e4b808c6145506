"""An upstream that is not to be had: what is here is served at once, all else is refused soon."""

import asyncio
import socket
import ssl
import statistics
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from datetime import timedelta
from pathlib import Path

import pytest
import trustme

from tests.life.environment import IMPATIENT, mirror_of, mirror_of_url
from tests.life.pulling import client_of
from tests.life.remains import back_to, remains
from tests.simulated_hub import Fault, SimulatedHub, blob, digest_of, make_image, make_index
from tests.world import Mirror, SettableClock, running_mirror

NAME = "library/app"
IMAGES = [make_index([make_image(layers=[blob(each, 50_000)])]) for each in range(6)]
STALE = timedelta(minutes=10)

FIRST = 2.0
"""Seconds that anybody waits at most for what is here."""

AFTERWARDS = 0.15
"""Seconds that most wait once it is known how things are."""

SOON = 10.0
"""Seconds until somebody hears that what is not here cannot be had."""


@asynccontextmanager
async def refused(hub: SimulatedHub) -> AsyncIterator[str]:
    await hub.stop()
    yield hub.url


@asynccontextmanager
async def black_hole(_hub: SimulatedHub) -> AsyncIterator[str]:
    """Connections are neither accepted nor refused."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=0)) as hole:
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(hole.getsockname())
        yield f"http://127.0.0.1:{hole.getsockname()[1]}"
        for each in waiting:
            each.close()


@asynccontextmanager
async def silent(_hub: SimulatedHub) -> AsyncIterator[str]:
    """Connections are accepted by the system, and nobody ever says a word."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=500)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@asynccontextmanager
async def no_tls(hub: SimulatedHub) -> AsyncIterator[str]:
    yield hub.url.replace("http:", "https:")


@asynccontextmanager
async def no_name(_hub: SimulatedHub) -> AsyncIterator[str]:
    yield "https://registry.invalid"


def answering(**fault: object) -> Callable[[SimulatedHub], AbstractAsyncContextManager[str]]:
    @asynccontextmanager
    async def trouble(hub: SimulatedHub) -> AsyncIterator[str]:
        hub.faults.add(Fault(**fault))  # type: ignore[arg-type]  # written out below
        yield hub.url

    return trouble


TROUBLES: dict[str, Callable[[SimulatedHub], AbstractAsyncContextManager[str]]] = {
    "refused": refused,
    "black hole": black_hole,
    "silent": silent,
    "no TLS": no_tls,
    "no such name": no_name,
    "all is forbidden": answering(kind="status", status=401, before_auth=True),
    "no token": answering(route="token", kind="status", status=401),
    "throttled": answering(kind="status", status=429, before_auth=True),
    "failing": answering(kind="status", status=500, before_auth=True),
}


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_what_is_here_and_what_is_not(
    tmp_path: Path, hub: SimulatedHub, trouble: str
) -> None:
    clock = SettableClock()
    for number, image in enumerate(IMAGES):
        hub.push(NAME, str(number), image)
    async with (
        running_mirror(tmp_path, None, mirror_of(hub), clock) as mirror,
        client_of(mirror.url) as client,
    ):
        for number, image in enumerate(IMAGES):
            await client.pull(NAME, str(number), image)
    before = remains()
    clock.advance(STALE)
    async with TROUBLES[trouble](hub) as url:
        environ = mirror_of_url(url, hub.token_host, more=IMPATIENT)
        async with running_mirror(tmp_path, None, environ, clock) as mirror:
            await what_is_here_is_served(mirror)
            await what_is_not_here_is_refused(mirror)
            await what_is_here_is_served_at_once(mirror)
        if trouble == "refused":
            await hub.start()
    await back_to(before)


async def what_is_here_is_served(mirror: Mirror) -> None:
    async with client_of(mirror.url) as client:
        pulls = (client.pull(NAME, str(number), image) for number, image in enumerate(IMAGES))
        assert await seconds(asyncio.gather(*pulls)) < 2 * FIRST
    reply = await mirror.head(f"/v2/{NAME}/manifests/0")
    assert reply.headers["Warning"].startswith("299 ")


async def what_is_not_here_is_refused(mirror: Mirror) -> None:
    """The client that can go elsewhere is sent there; the others hear why."""
    digest = digest_of(b"elsewhere")

    async def status(path: str) -> int:
        return (await mirror.get(path)).status

    items = ("manifests/none", f"manifests/{digest}", f"blobs/{digest}")
    work = [status(f"/v2/{prefix}{NAME}/{item}") for prefix in ("", "docker.io/") for item in items]
    answers = asyncio.gather(*work)
    assert await seconds(answers) < SOON
    *mirrored, first, second, third = answers.result()
    assert set(mirrored) == {404}
    assert {first, second, third} <= {404, 429, 502, 503}


async def what_is_here_is_served_at_once(mirror: Mirror) -> None:
    waits = [
        await seconds(mirror.get(f"/v2/{NAME}/manifests/{number % len(IMAGES)}"))
        for number in range(18)
    ]
    assert statistics.median(waits) < AFTERWARDS


async def seconds(work: Awaitable[object]) -> float:
    loop = asyncio.get_running_loop()
    began = loop.time()
    await work
    return loop.time() - began


async def test_a_certificate_that_nobody_vouches_for(tmp_path: Path) -> None:
    """Nothing is said to whoever shows it, and the client hears why."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with (
        SimulatedHub(tls=context) as hub,
        running_mirror(tmp_path, None, mirror_of(hub)) as mirror,
    ):
        reply = await mirror.get(f"/v2/docker.io/{NAME}/manifests/1")
        assert reply.status == 503
        assert b"certificate" in reply.body
        assert hub.requests == []
