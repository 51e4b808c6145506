"""The simulated hub on its own, for real clients and for benchmarks.

`python -m tests.simulated_hub --port 5555 --image library/hello:1=10M,40M` serves until it is told
to stop, and prints where as one line of JSON.
"""

import argparse
import asyncio
import contextlib
import json
import re
import signal
from pathlib import Path

from tests.simulated_hub.content import blob, make_image, make_index
from tests.simulated_hub.hub import SimulatedHub
from tests.simulated_hub.registry import Quota, Redirects
from tests.simulated_hub.rootfs import make_runnable_image

UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}
REMEMBERED_REQUESTS = 1000


def byte_count(text: str) -> int:
    found = re.fullmatch(r"(\d+)([KMG]?)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text}: want a number of bytes such as 512K or 10M")
    return int(found[1]) * UNITS[found[2]]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulated_hub", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="of the registry; 0: any")
    parser.add_argument("--auth", choices=("bearer", "basic", "none"), default="bearer")
    parser.add_argument("--user", action="append", default=[], metavar="NAME:PASSWORD")
    parser.add_argument("--bandwidth", type=byte_count, metavar="BYTES", help="a second, per blob")
    parser.add_argument("--latency", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--redirect", action="store_true", help="blobs to the CDN, as Docker Hub")
    parser.add_argument("--quota", type=int, metavar="PULLS")
    parser.add_argument(
        "--image",
        action="append",
        default=[],
        metavar="NAME:TAG=SIZE,SIZE",
        help="layers of these sizes; no engine can unpack them",
    )
    parser.add_argument(
        "--runnable",
        action="append",
        default=[],
        metavar="NAME:TAG=FILE",
        help="an image that runs this static binary as /bin/sh",
    )
    return parser.parse_args()


def fill(hub: SimulatedHub, options: argparse.Namespace) -> None:
    for described in options.image:
        where, _, sizes = described.partition("=")
        name, _, tag = where.rpartition(":")
        layers = [
            blob(f"{where}/{position}", byte_count(size))
            for position, size in enumerate((sizes or "1K").split(","))
        ]
        hub.push(name, tag, make_index([make_image(layers=layers)]))
    for described in options.runnable:
        where, _, path = described.partition("=")
        name, _, tag = where.rpartition(":")
        hub.push(name, tag, make_index([make_runnable_image(Path(path).read_bytes())]))


def prepared(options: argparse.Namespace) -> SimulatedHub:
    users = dict(user.split(":", 1) for user in options.user)
    hub = SimulatedHub(auth=options.auth, users=users, port=options.port)
    hub.bandwidth, hub.latency = options.bandwidth, options.latency
    hub.log.keep = REMEMBERED_REQUESTS
    if options.redirect:
        hub.redirects = Redirects(blobs=307)
    if options.quota is not None:
        hub.quota = Quota(limit=options.quota, remaining=options.quota)
    fill(hub, options)
    return hub


def summary(hub: SimulatedHub) -> str:
    images = {
        f"{name}:{tag}": digest
        for name, repository in hub.repositories.by_name.items()
        for tag, digest in repository.tags.items()
    }
    where = {"url": hub.url, "token_host": hub.token_host, "cdn_host": hub.cdn_host}
    return json.dumps({**where, "images": images})


async def serve(options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with prepared(options) as hub:
        print(summary(hub), flush=True)  # noqa: T201 - the one line its caller reads
        await stop.wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(arguments()))
