"""``GET /api/v1/stats``: what the mirror did and does, and what it holds."""

from aiohttp import web

from mirror.api import documents
from mirror.api.figures import Activity, Holdings, measure, observe
from mirror.api.garbage import render_status
from mirror.api.rendering import json_answer
from mirror.api.services import SERVICES
from mirror.api.version import version
from mirror.ports.upstream import Quota, UpstreamStatus
from mirror.registry.statistics import bytes_saved, hit_ratio


async def get_stats(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    holdings = await measure(services)
    return json_answer(render_stats(observe(services), holdings))


def render_stats(activity: Activity, holdings: Holdings) -> documents.Stats:
    answers = {result.value: count for result, count in activity.results.items()}
    return documents.Stats(
        version=version(),
        uptime_seconds=int(activity.uptime),
        offline=activity.offline,
        fills=activity.fills,
        requests=documents.Requests(**answers),
        bytes=documents.Traffic(
            served=activity.total("bytes_served"),
            from_upstream=activity.total("bytes_from_upstream"),
            saved=bytes_saved(list(activity.samples)),
        ),
        hit_ratio=hit_ratio(activity.results),
        storage=_storage(holdings),
        evictions=documents.Evicted(activity.total("evicted"), activity.total("evicted_bytes")),
        quarantined=activity.total("quarantined"),
        upstreams={name: _upstream(status) for name, status in activity.statuses.items()},
        webhooks={name: _webhook(activity, name) for name in activity.webhooks},
        gc=_garbage(activity),
    )


def _garbage(activity: Activity) -> documents.Garbage:
    return documents.Garbage(
        runs=activity.total("collections"),
        count=activity.total("collected"),
        bytes=activity.total("collected_bytes"),
        links=activity.total("collected_links"),
        schedule=render_status(activity.collector),
    )


def _storage(holdings: Holdings) -> documents.Storage:
    totals, limits, space = holdings.totals, holdings.limits, holdings.space
    return documents.Storage(
        blobs=totals.blobs,
        bytes=totals.bytes,
        hosted_bytes=totals.hosted_bytes,
        manifests=totals.manifests,
        repositories=totals.repositories,
        max_bytes=limits.max_size,
        low_bytes=limits.low_size,
        free_bytes=space.free,
        total_bytes=space.total,
        min_free_bytes=limits.min_free,
    )


def _upstream(status: UpstreamStatus) -> documents.Upstream:
    return documents.Upstream(
        state=status.state,
        reason=status.reason,
        retry_at=status.retry_at,
        requests=status.requests,
        errors=status.errors,
        bytes=status.bytes,
        tokens=status.tokens,
        quota=None if status.quota is None else _quota(status.quota),
    )


def _webhook(activity: Activity, name: str) -> documents.Webhook:
    status = activity.webhooks[name]
    return documents.Webhook(
        queued=status.queued,
        failures=status.failures,
        reason=status.reason,
        retry_at=status.retry_at,
        delivered=activity.total_of(name, "webhook_delivered"),
        failed=activity.total_of(name, "webhook_failed"),
        dropped=activity.total_of(name, "webhook_dropped"),
    )


def _quota(quota: Quota) -> documents.Quota:
    return documents.Quota(
        limit=quota.limit,
        remaining=quota.remaining,
        window_seconds=quota.window_seconds,
        source=quota.source,
        observed_at=quota.observed_at,
    )
