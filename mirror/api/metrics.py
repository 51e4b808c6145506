"""``GET /metrics``: the figures of ``/api/v1/stats``, and those of the process, for Prometheus.

Open to everyone who may pull, so nothing here names a client, an account or an image.
https://prometheus.io/docs/instrumenting/exposition_formats/
"""

import logging
from collections.abc import Iterator

from aiohttp import web
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from mirror.api.figures import Activity, Holdings, measure, observe
from mirror.api.rendering import HEADERS
from mirror.api.services import SERVICES, Services
from mirror.api.version import version
from mirror.ports.blobs import StorageError
from mirror.ports.metadata import MetadataError

log = logging.getLogger(__name__)

OPENMETRICS = "application/openmetrics-text"


async def get_metrics(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    holdings = await _measure(services)
    registry = _registry(Figures(observe(services), holdings))
    # The library's own choice of a format fails over an Accept header that it does not expect.
    if OPENMETRICS in request.headers.get("Accept", ""):
        body = openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call] # the library left it out
        content_type = openmetrics.CONTENT_TYPE_LATEST
    else:
        body, content_type = generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4
    return web.Response(body=body, headers={**HEADERS, "Content-Type": content_type})


class Figures(Collector):
    """One scrape. ``holdings`` is ``None`` when they cannot be told: their metrics are absent."""

    def __init__(self, activity: Activity, holdings: Holdings | None) -> None:
        self._activity = activity
        self._holdings = holdings

    def collect(self) -> Iterator[Metric]:
        yield from _server(self._activity)
        yield from _traffic(self._activity)
        yield from _events(self._activity)
        yield from _upstreams(self._activity)
        yield from _quotas(self._activity)
        yield from _webhooks(self._activity)
        yield from _garbage(self._activity)
        if self._holdings is not None:
            yield from _storage(self._holdings)


async def _measure(services: Services) -> Holdings | None:
    """A disk in trouble must not hide how the rest does."""
    try:
        return await measure(services)
    except (MetadataError, StorageError) as error:
        log.warning("metrics lack what is stored: %s", error)
        return None


def _registry(figures: Figures) -> CollectorRegistry:
    """Made for each scrape: the library's own registry is shared by the whole process."""
    registry = CollectorRegistry()
    registry.register(figures)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def _server(activity: Activity) -> Iterator[Metric]:
    build = GaugeMetricFamily("mirror_build_info", "Always 1.", labels=["version"])
    build.add_metric([version()], 1)
    yield build
    yield _gauge("mirror_offline", "Whether no upstream may be contacted.", int(activity.offline))
    yield _gauge("mirror_fills", "Downloads under way.", activity.fills)


def _traffic(activity: Activity) -> Iterator[Metric]:
    yield _counter(
        activity, "requests", "Answers to registry clients.", ("upstream", "kind", "result")
    )
    yield _counter(
        activity,
        "bytes_served",
        "Bytes of content sent to registry clients.",
        ("upstream", "kind", "result"),
    )
    yield _counter(
        activity,
        "bytes_from_upstream",
        "Bytes of content received from upstreams.",
        ("upstream", "kind"),
    )


def _counter(activity: Activity, measure: str, text: str, labels: tuple[str, ...]) -> Metric:
    family = CounterMetricFamily(f"mirror_{measure}", text, labels=labels)
    for sample in activity.samples:
        if sample.measure == measure:
            family.add_metric([getattr(sample, label) for label in labels], sample.value)
    return family


def _events(activity: Activity) -> Iterator[Metric]:
    for event, text in (
        ("evicted", "Manifests and blobs evicted."),
        ("evicted_bytes", "Bytes freed by eviction."),
        ("quarantined", "Blobs taken out of service because they were damaged."),
    ):
        yield CounterMetricFamily(f"mirror_{event}", text, value=activity.total(event))


def _upstreams(activity: Activity) -> Iterator[Metric]:
    up = _labelled_gauge("mirror_upstream_up", "Whether the upstream answers as it should.")
    requests = _labelled_counter("mirror_upstream_requests", "HTTP requests to the upstream.")
    errors = _labelled_counter("mirror_upstream_errors", "Attempts that failed.")
    received = _labelled_counter("mirror_upstream_bytes", "Bytes of all bodies received.")
    tokens = _labelled_counter("mirror_upstream_tokens", "Requests to token services.")
    for name, status in activity.statuses.items():
        up.add_metric([name], int(status.state == "ok"))
        requests.add_metric([name], status.requests)
        errors.add_metric([name], status.errors)
        received.add_metric([name], status.bytes)
        tokens.add_metric([name], status.tokens)
    yield from (up, requests, errors, received, tokens)


def _quotas(activity: Activity) -> Iterator[Metric]:
    """Absent until the upstream has told: unknown is not zero."""
    limit = _labelled_gauge("mirror_upstream_quota_limit", "Pulls allowed in a window.")
    remaining = _labelled_gauge("mirror_upstream_quota_remaining", "Pulls left of them.")
    observed = _labelled_gauge(
        "mirror_upstream_quota_observed_timestamp_seconds", "When the upstream said so."
    )
    for name, status in activity.statuses.items():
        if status.quota is not None:
            limit.add_metric([name], status.quota.limit)
            remaining.add_metric([name], status.quota.remaining)
            observed.add_metric([name], status.quota.observed_at.timestamp())
    yield from (limit, remaining, observed)


def _webhooks(activity: Activity) -> Iterator[Metric]:
    label = ["webhook"]
    up = GaugeMetricFamily("mirror_webhook_up", "Whether it takes what it is sent.", labels=label)
    queue = GaugeMetricFamily("mirror_webhook_queue", "Events that wait for it.", labels=label)
    for name, status in activity.webhooks.items():
        up.add_metric([name], int(not status.failures))
        queue.add_metric([name], status.queued)
    yield from (up, queue)
    for event, text in (
        ("webhook_delivered", "Events that it took."),
        ("webhook_failed", "Attempts that it did not take."),
        ("webhook_dropped", "Events that it never got, because too many waited, or too long."),
    ):
        counter = CounterMetricFamily(f"mirror_{event}", text, labels=label)
        for name in activity.webhooks:
            counter.add_metric([name], activity.total_of(name, event))
        yield counter


def _garbage(activity: Activity) -> Iterator[Metric]:
    """Of the last collection and the next nothing is said while there is none."""
    for event, name, text in (
        ("collections", "runs", "Collections that came to their end."),
        ("failed_collections", "failures", "Collections that did not."),
        ("collected", "blobs", "Blobs that nothing needed, deleted."),
        ("collected_bytes", "bytes", "Bytes freed by collections."),
        ("collected_links", "links", "Dead links of hosted repositories, deleted."),
    ):
        yield CounterMetricFamily(f"mirror_gc_{name}", text, value=activity.total(event))
    status = activity.collector
    yield _gauge("mirror_gc_running", "Whether a collection runs.", int(status.running))
    if status.last is not None:
        began_at = status.last.began_at.timestamp()
        text = "When the last collection began."
        yield _gauge("mirror_gc_last_run_timestamp_seconds", text, began_at)
        text = "How long it took."
        yield _gauge("mirror_gc_last_run_duration_seconds", text, status.last.duration)
        yield _gauge("mirror_gc_last_run_bytes", "Bytes it freed.", status.last.size)
    if status.next_at is not None:
        text = "When the next collection begins."
        yield _gauge("mirror_gc_next_run_timestamp_seconds", text, status.next_at.timestamp())


def _storage(holdings: Holdings) -> Iterator[Metric]:
    totals, limits, space = holdings.totals, holdings.limits, holdings.space
    yield _gauge("mirror_storage_bytes", "Bytes stored, each blob once.", totals.bytes)
    yield _gauge(
        "mirror_storage_hosted_bytes", "Of them, those of hosted content.", totals.hosted_bytes
    )
    yield _gauge("mirror_storage_blobs", "Blobs stored, manifests included.", totals.blobs)
    yield _gauge("mirror_storage_manifests", "Manifests stored.", totals.manifests)
    yield _gauge("mirror_storage_repositories", "Repositories with one.", totals.repositories)
    yield _gauge("mirror_storage_max_bytes", "Above it, eviction begins.", limits.max_size)
    yield _gauge("mirror_storage_free_bytes", "Bytes free on the file system.", space.free)
    yield _gauge("mirror_storage_min_free_bytes", "Bytes to leave free.", limits.min_free)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _labelled_gauge(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=["upstream"])


def _labelled_counter(name: str, text: str) -> CounterMetricFamily:
    return CounterMetricFamily(name, text, labels=["upstream"])
