"""The figures that ``/api/v1/stats`` and ``/metrics`` show, taken together as plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mirror.api.services import Services
from mirror.ports.blobs import Space
from mirror.ports.metadata import Totals
from mirror.ports.upstream import UpstreamStatus
from mirror.registry.collector import CollectorStatus
from mirror.registry.deliveries import EndpointStatus
from mirror.registry.room import Limits
from mirror.registry.statistics import Result, Sample


@dataclass(frozen=True, slots=True)
class Activity:
    """What the server did and does. ``samples`` and the counts in ``statuses`` outlive a restart.

    ``results`` are all requests among the samples, ``uptime`` is in seconds, ``fills`` the
    downloads under way.
    """

    samples: Sequence[Sample]
    results: Mapping[Result, int]
    statuses: Mapping[str, UpstreamStatus]
    webhooks: Mapping[str, EndpointStatus]
    collector: CollectorStatus
    offline: bool
    fills: int
    uptime: float

    def total(self, measure: str) -> int:
        return sum(sample.value for sample in self.samples if sample.measure == measure)

    def total_of(self, webhook: str, measure: str) -> int:
        return sum(
            sample.value
            for sample in self.samples
            if sample.measure == measure and sample.upstream == webhook
        )


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
        statuses=_over_all_runs(services),
        webhooks=services.webhooks(),
        collector=services.collector.status(),
        offline=services.registries.offline,
        fills=len(services.blobs.filling()),
        uptime=services.uptime,
    )


def _over_all_runs(services: Services) -> Mapping[str, UpstreamStatus]:
    """How upstreams do now, with what was asked of them since the data folder was new."""
    counts = {
        (sample.measure, sample.upstream): sample.value for sample in services.statistics.samples()
    }
    return {
        name: replace(
            status,
            requests=counts.get(("upstream_requests", name), status.requests),
            errors=counts.get(("upstream_errors", name), status.errors),
            bytes=counts.get(("upstream_bytes", name), status.bytes),
            tokens=counts.get(("upstream_tokens", name), status.tokens),
        )
        for name, status in services.registries.statuses().items()
    }


async def measure(services: Services) -> Holdings:
    """Raises MetadataError or StorageError when it cannot be told."""
    totals = await services.inventory.totals()
    return Holdings(totals, services.limits, services.store.space())
