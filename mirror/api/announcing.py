"""Telling those who listen what a request did, and whose request it was."""

import asyncio
import uuid
from collections.abc import Callable

from aiohttp import web

from mirror.api.services import SERVICES, Services
from mirror.oci.reference import Tag
from mirror.ports.events import Asker
from mirror.ports.metadata import BlobRecord
from mirror.registry.answer import BlobAnswer, ManifestAnswer
from mirror.registry.happenings import Happening, blob_pulled, manifest_pulled

LONGEST_TEXT = 256
"""Characters kept of what a client says of itself."""


async def announce(request: web.Request, *happenings: Happening) -> None:
    """To be awaited once a change is durable, and before it is answered: who is told that it was
    done may rely on its events. Raises MetadataError.
    """
    events = request.app[SERVICES].events
    if events is not None:
        await events.announce(happenings, asker_of(request))


def announce_manifest_pull(
    services: Services, answer: ManifestAnswer, tag: Tag | None, asker: Callable[[], Asker]
) -> None:
    """Costs nothing where nobody listens."""
    events = services.events
    if events is not None and events.wants_pulls(answer.repository):
        events.pulled(manifest_pulled(answer.repository, answer.descriptor, tag), asker())


def announce_blob_pull(request: web.Request, answer: BlobAnswer) -> None:
    events = request.app[SERVICES].events
    if events is not None and events.wants_pulls(answer.repository):
        pull = blob_pulled(answer.repository, BlobRecord(answer.digest, answer.size))
        events.pulled(pull, asker_of(request))


def asker_of(request: web.Request) -> Asker:
    agent = request.headers.get("User-Agent", "")
    return asker_on(request.transport, request.headers.get("Host", ""), request.method, agent)


def asker_on(transport: asyncio.Transport | None, host: str, method: str, agent: str) -> Asker:
    """Whoever sent these headers over this connection."""
    return Asker(
        id=str(uuid.uuid4()),
        address=_peer(transport),
        host=_encodable(host),
        method=_encodable(method),
        agent=_encodable(agent),
    )


def _peer(transport: asyncio.Transport | None) -> str:
    """Address and port, empty when the client has gone."""
    peer = transport.get_extra_info("peername") if transport else None
    if not isinstance(peer, tuple):
        return ""
    host, port = str(peer[0]), peer[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _encodable(text: str) -> str:
    """Headers may hold bytes that are no text, which no JSON can hold."""
    return text[:LONGEST_TEXT].encode("utf-8", "replace").decode()
