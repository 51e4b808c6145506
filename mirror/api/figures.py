"""The figures that ``/api/v1/stats`` and ``/metrics`` show, taken together as plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mirror.api.services import Services
from mirror.ports.blobs import Space
from mirror.ports.metadata import Totals
from mirror.ports.upstream import UpstreamStatus
from mirror.registry.room import Limits
from mirror.registry.statistics import Result, Sample


@dataclass(frozen=True, slots=True)
class Activity:
    """What the server did and does. ``samples`` outlive a restart, ``statuses`` do not.

    ``results`` are all requests among the samples, ``uptime`` is in seconds, ``fills`` the
    downloads under way.
    """

    samples: Sequence[Sample]
    results: Mapping[Result, int]
    statuses: Mapping[str, UpstreamStatus]
    offline: bool
    fills: int
    uptime: float

    def total(self, measure: str) -> int:
        return sum(sample.value for sample in self.samples if sample.measure == measure)


@dataclass(frozen=True, slots=True)
class Holdings:
    """What is stored, and how much may be."""

    totals: Totals
    limits: Limits
    space: Space


def observe(services: Services) -> Activity:
    return Activity(
        samples=services.statistics.samples(),
        results=services.statistics.by_result(),
        statuses=services.registries.statuses(),
        offline=services.registries.offline,
        fills=len(services.blobs.filling()),
        uptime=services.uptime,
    )


async def measure(services: Services) -> Holdings:
    """Raises MetadataError or StorageError when it cannot be told."""
    totals = await services.inventory.totals()
    return Holdings(totals, services.limits, services.store.space())
