"""What the handlers call: one use case each, put together by the composition root."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from aiohttp import web

from mirror.ports.access import AccessPolicy
from mirror.ports.blobs import BlobStore
from mirror.ports.clock import Clock
from mirror.ports.metadata import Inventory
from mirror.registry.catalog import RepositoryCatalog
from mirror.registry.collector import Collector
from mirror.registry.deliveries import EndpointStatus
from mirror.registry.events import Events
from mirror.registry.hosted import Hosted
from mirror.registry.housekeeping import Housekeeping
from mirror.registry.in_use import InUse
from mirror.registry.proxied import ProxiedRegistries
from mirror.registry.room import Limits
from mirror.registry.routed import RoutedBlobs, RoutedManifests, RoutedReferrers, RoutedTags
from mirror.registry.routing import Router
from mirror.registry.statistics import Statistics
from mirror.registry.uploads import Uploads


@dataclass(frozen=True, slots=True)
class Services:
    """``ready`` says why the server cannot serve, ``None`` when it can. A client that takes next
    to nothing for ``write_timeout`` is cut off. ``instance`` is in the ``Via`` header of our own
    requests. ``events`` is ``None`` where nobody wants to hear of any, ``webhooks`` tells how it
    goes with each.
    """

    router: Router
    manifests: RoutedManifests
    blobs: RoutedBlobs
    tags: RoutedTags
    referrers: RoutedReferrers
    hosted: Hosted
    catalog: RepositoryCatalog
    uploads: Uploads
    in_use: InUse
    registries: ProxiedRegistries
    housekeeping: Housekeeping
    collector: Collector
    inventory: Inventory
    store: BlobStore
    limits: Limits
    statistics: Statistics
    access: AccessPolicy
    clock: Clock
    ready: Callable[[], str | None]
    write_timeout: timedelta
    instance: str | None = None
    events: Events | None = None
    webhooks: Callable[[], Mapping[str, EndpointStatus]] = dict
    _started: float = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_started", self.clock.monotonic())

    @property
    def uptime(self) -> float:
        """Seconds since the server was put together."""
        return self.clock.monotonic() - self._started


SERVICES: web.AppKey[Services] = web.AppKey("services", Services)
