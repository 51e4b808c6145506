"""A process that writes facts until it is killed, and the same facts worked out in memory.

    python -m tests.metadata.crashing FILE FIRST [STATEMENTS]

does step after step from the given one on and prints the number of each that is done. After so
many statements it kills itself.
"""

import asyncio
import os
import signal
import sys
from itertools import count
from pathlib import Path

from sqlalchemy import Engine, event

from mirror.metadata.sql import open_sqlite
from mirror.oci.reference import Tag
from mirror.ports.hosting import Facts
from mirror.ports.metadata import MetadataStore, Use
from tests.conformance.metadata import (
    LATEST,
    NGINX,
    at,
    blob,
    digest,
    idle_manifests,
    image_of,
    layer,
    manifest,
    tagged,
)
from tests.conformance.pushing import APP, COPY, collect_links, pushed

HOSTED_KINDS = 6
KINDS = 10


async def take_step(store: Facts, number: int) -> None:
    """One transaction, always the same for a number. Every kind is of several statements."""
    if number % KINDS >= HOSTED_KINDS:
        await take_hosted_step(store, number)
    else:
        await take_proxied_step(store, number)


async def take_proxied_step(store: MetadataStore, number: int) -> None:
    image, kind = divmod(number, KINDS)
    name = f"m{image}"
    parts = [layer(f"{part} of {image}") for part in range(3)]
    if kind == 0:
        await store.put_manifest(NGINX, manifest(name), image_of(*parts, layer("base")), at(number))
    elif kind == 1:
        await store.put_tag(NGINX, Tag(name), tagged(manifest(name), number))
    elif kind == 2:
        await store.put_blob(NGINX, blob(parts[0]), at(number))
    elif kind == 3:
        used = range(max(0, image - 5), image)
        # No two at the same moment: their order would be up to the adapter.
        uses = {Use(NGINX, digest(f"m{other}")): at(number + other / 1e6) for other in used}
        await store.record_uses(uses)
    elif kind == 4:
        await store.add_counters({"steps": 1, name: number})
    elif image % 2:
        oldest = (await idle_manifests(store))[:1]
        blobs = [found.digest for entry in oldest for found, _ in entry.blobs]
        await store.evict(oldest, blobs, at(number))
    else:
        await store.delete_manifest(NGINX, digest(f"m{image - 3}"))


async def take_hosted_step(store: Facts, number: int) -> None:
    image, kind = divmod(number, KINDS)
    name = f"h{image}"
    if kind == HOSTED_KINDS:
        parts = image_of(layer(f"0 of {image}"))
        push = pushed(manifest(name), parts, Tag(name), LATEST, seconds=number, lender=NGINX)
        # Every other time what it needs has been evicted, and nothing is recorded.
        await store.push_manifest(push)
    elif kind == HOSTED_KINDS + 1:
        await store.mount_blob(COPY, digest(f"0 of {image}"), at(number))
    elif kind == HOSTED_KINDS + 2:
        await store.remove_manifest(APP, digest(f"h{image - 2}"))
    elif image % 2:
        await collect_links(store, at(number - KINDS))
    else:
        dead = await store.list_dead_blobs(at(number), None, 100)
        await store.collect_blobs([entry.blob.digest for entry in dead], at(number))


def die_after(statements: int) -> None:
    numbers = count(1)

    def die(*_: object) -> None:
        if next(numbers) > statements:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Engine, "before_cursor_execute", die)


async def main() -> None:
    if len(sys.argv) > 3:
        die_after(int(sys.argv[3]))
    store = await open_sqlite(Path(sys.argv[1]))
    for number in count(int(sys.argv[2])):
        await take_step(store, number)
        print(number, flush=True)  # noqa: T201 - whoever kills us reads it


if __name__ == "__main__":
    asyncio.run(main())
