"""A push is killed in its middle, and repeated."""

import asyncio
import contextlib
import json
import signal
import time
from pathlib import Path

import pytest

from tests.clients.docker import Docker
from tests.clients.images import make_context
from tests.clients.mirror_server import HOST, MirrorServer
from tests.simulated_hub import blob

IMAGE = f"{HOST}/local/app:1"
LARGE = 64 * 1024 * 1024
"""Bytes that docker takes seconds to send: it compresses them meanwhile."""


@pytest.fixture
async def told(docker: Docker, tmp_path: Path) -> str:
    """What the image tells, which nobody has but this engine."""
    context = make_context(tmp_path / "context", blob("pushed", LARGE))
    (await docker.command("build", "--tag", IMAGE, str(context))).checked()
    return await docker.told(IMAGE)


async def test_what_has_arrived_is_not_sent_again(
    docker: Docker, mirror: MirrorServer, told: str
) -> None:
    push = asyncio.create_task(docker.command("push", IMAGE))
    await asyncio.to_thread(mirror.program.wait_until, lambda: accepted(mirror) == 1)
    mirror.program.signal(signal.SIGSTOP)
    push.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await push
    mirror.program.signal(signal.SIGCONT)
    assert not await pushed(docker)
    assert (await docker.command("manifest", "inspect", "--insecure", IMAGE)).code

    repeated = (await docker.command("push", IMAGE)).checked()
    assert repeated.output.count("Layer already exists") == 1
    assert accepted(mirror) == 3  # Two layers and the configuration, each of them once.
    assert await pushed(docker) == [IMAGE]
    await docker.forget()
    (await docker.pull(IMAGE)).checked()
    assert await docker.told(IMAGE) == told


def accepted(mirror: MirrorServer) -> int:
    """How many blobs were pushed so far."""
    entries = map(json.loads, mirror.program.log.rpartition("\n")[0].splitlines())
    answers = [(each.get("method"), each.get("status"), each.get("path", "")) for each in entries]
    return sum(
        (method, status) == ("PUT", 201) and "/blobs/uploads/" in path
        for method, status, path in answers
    )


async def pushed(docker: Docker) -> list[str]:
    """The images whose push has succeeded, as the daemon tells everybody who watches."""
    # Written as a duration, the end is that of the second before.
    period = ("--since", "10m", "--until", f"{time.time():.6f}")
    filters = ("--filter", "event=push", "--filter", "type=image")
    form = ("--format", "{{.Actor.ID}}")
    events = await docker.command("events", *period, *filters, *form)
    return events.checked().output.split()
