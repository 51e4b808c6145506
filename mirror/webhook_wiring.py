"""From configuration to those who are told of events, and all that runs for them."""

import asyncio
import contextlib
import random
import socket
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from mirror.config import Config, ListenAddress, Webhook
from mirror.ports.clock import Clock
from mirror.ports.events import EventAction, EventQueue, Source
from mirror.registry.deliveries import Deliveries, DeliveryPorts, Endpoint, EndpointStatus
from mirror.registry.events import EventPorts, Events, Subscription
from mirror.registry.glob import Glob
from mirror.registry.moves import TellMove, tell_nobody
from mirror.registry.statistics import Statistics
from mirror.webhooks.courier import HttpCourier, WebhookSettings

EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - what nobody can be sent to

ACTIONS: Mapping[str, frozenset[EventAction]] = {
    "push": frozenset({EventAction.PUSH, EventAction.MOUNT}),
    "pull": frozenset({EventAction.PULL}),
    "delete": frozenset({EventAction.DELETE}),
    "moved": frozenset({EventAction.MOVED}),
}


@dataclass(frozen=True, slots=True)
class WebhookParts:
    """What webhooks share with the rest of the server."""

    queue: EventQueue
    clock: Clock
    statistics: Statistics
    instance: str


@dataclass(frozen=True, slots=True)
class Webhooks:
    """``events`` is ``None`` where nobody is to be told of any."""

    deliveries: Deliveries
    events: Events | None
    moved: TellMove = field(default=tell_nobody)

    def statuses(self) -> Mapping[str, EndpointStatus]:
        return self.deliveries.statuses()


async def open_webhooks(config: Config, parts: WebhookParts, stack: AsyncExitStack) -> Webhooks:
    """Deliveries run until the stack ends; what is not delivered by then waits for the next start.

    Raises MetadataError.
    """
    endpoints = [_endpoint(webhook, config, parts.clock) for webhook in config.webhooks]
    ports = DeliveryPorts(parts.queue, parts.clock, parts.statistics, random.random)
    deliveries = Deliveries(endpoints, ports)
    await deliveries.start()
    stack.push_async_callback(deliveries.close)
    for name, delivery in deliveries.by_name.items():
        _run(asyncio.create_task(delivery.run(), name=f"webhook {name}"), stack)
    if not endpoints:
        return Webhooks(deliveries, None)
    source = Source(f"{socket.gethostname()}:{config.listen.port}", parts.instance)
    events = Events(
        [_subscription(webhook) for webhook in config.webhooks],
        EventPorts(parts.queue, parts.clock, source, deliveries.arrived),
    )
    stack.push_async_callback(events.flush_or_tell)
    if events.gathers:
        _run(asyncio.create_task(events.keep_flushing(), name="pulls for webhooks"), stack)
    return Webhooks(deliveries, events, events.moved)


def _run(task: asyncio.Task[None], stack: AsyncExitStack) -> None:
    stack.push_async_callback(_end, task)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _endpoint(webhook: Webhook, config: Config, clock: Clock) -> Endpoint:
    settings = WebhookSettings(
        url=webhook.url.get_secret_value(),
        secret=webhook.signing_secret.get_secret_value().encode(),
        headers={name: value.get_secret_value() for name, value in webhook.headers.items()},
        timeout=webhook.timeout.total_seconds(),
        public_url=_public_url(config.public_url, config.listen),
    )
    return Endpoint(webhook.label, HttpCourier(settings, clock), webhook.give_up_after)


def _subscription(webhook: Webhook) -> Subscription:
    return Subscription(
        webhook.label,
        frozenset().union(*(ACTIONS[name] for name in webhook.events)),
        tuple(Glob(pattern) for pattern in webhook.repositories),
        webhook.max_queued,
    )


def _public_url(public_url: str | None, listen: ListenAddress) -> str | None:
    if public_url is not None or listen.host in EVERYWHERE or not listen.port:
        return public_url
    return f"http://{listen}"
