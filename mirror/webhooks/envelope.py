"""Events in the notification format of the Docker registry.

https://distribution.github.io/distribution/about/notifications/
What is ours: the action ``moved`` and with it ``previousDigest`` of a target. Receivers written
for the Docker registry pass over both.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from mirror.ports.events import Asker, Event, Source, Target

MEDIA_TYPE = "application/vnd.docker.distribution.events.v2+json"


class _Target(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """``length`` is ``size`` once more, for receivers from before version 2.1."""

    media_type: str = ""
    digest: str = ""
    size: int = 0
    length: int = 0
    repository: str = ""
    from_repository: str = ""
    url: str = ""
    tag: str = ""
    previous_digest: str = ""


class _Request(msgspec.Struct, frozen=True, rename={"address": "addr", "agent": "useragent"}):
    id: str
    address: str | msgspec.UnsetType
    host: str | msgspec.UnsetType
    method: str
    agent: str


class _Actor(msgspec.Struct, frozen=True, omit_defaults=True):
    """Nobody has a name yet."""

    name: str = ""


class _Source(msgspec.Struct, frozen=True, rename={"address": "addr", "instance": "instanceID"}):
    address: str
    instance: str


class _Event(msgspec.Struct, frozen=True):
    id: str
    timestamp: datetime
    action: str
    target: _Target
    request: _Request
    actor: _Actor
    source: _Source


class _Envelope(msgspec.Struct, frozen=True):
    events: list[_Event]


def render(events: Sequence[Event], public_url: str | None) -> bytes:
    """The body of a message. Targets have a ``url`` where it is known under which one clients
    reach this server: what they claim themselves would lead receivers astray.
    """
    return msgspec.json.encode(_Envelope([_event(event, public_url) for event in events]))


def _event(event: Event, public_url: str | None) -> _Event:
    return _Event(
        id=event.id,
        timestamp=event.happened_at,
        action=event.action.value,
        target=_target(event.target, public_url),
        request=_request(event.asker),
        actor=_Actor(),
        source=_source(event.source),
    )


def _target(target: Target, public_url: str | None) -> _Target:
    return _Target(
        media_type=target.media_type or "",
        digest=str(target.digest or ""),
        size=target.size or 0,
        length=target.size or 0,
        repository=str(target.repository),
        from_repository=str(target.lender or ""),
        url=_url(target, public_url),
        tag=str(target.tag or ""),
        previous_digest=str(target.previous or ""),
    )


def _url(target: Target, public_url: str | None) -> str:
    """Of what is there: what was deleted has none."""
    if public_url is None or target.media_type is None:
        return ""
    return f"{public_url}/v2/{target.repository}/{target.kind}s/{target.digest}"


def _request(asker: Asker | None) -> _Request:
    if asker is None:
        return _Request("", msgspec.UNSET, msgspec.UNSET, "", "")
    return _Request(
        asker.id,
        asker.address or msgspec.UNSET,
        asker.host or msgspec.UNSET,
        asker.method,
        asker.agent,
    )


def _source(source: Source) -> _Source:
    return _Source(source.address, source.instance)
