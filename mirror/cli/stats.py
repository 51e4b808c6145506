"""``mirror stats``."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

from mirror.api.documents import Quota, Stats
from mirror.cli.admin import ask, parse_origin, read
from mirror.cli.sizes import format_count, format_share, format_size
from mirror.cli.tables import Column, cell, make_console, make_list, make_table, show
from mirror.cli.terminal import echo_json
from mirror.cli.times import format_moment, format_span

STYLES = {"ok": "green", "throttled": "yellow", "failing": "red"}


def report_stats(url: str, *, as_json: bool) -> None:
    """Raises Failure."""
    origin = parse_origin(url)
    body = ask(origin, "GET", "/api/v1/stats")
    stats = read(origin, body, Stats)
    if as_json:
        echo_json(json.loads(body))
    else:
        _show(origin.url, stats, datetime.now(UTC))


def _show(url: str, stats: Stats, now: datetime) -> None:
    console = make_console()
    uptime = format_span(stats.uptime_seconds)
    console.print(cell(f"mirror {stats.version} at {url}, up for {uptime}", "bold"))
    console.print()
    rows = make_list()
    for name, text in _summary(stats, now):
        rows.add_row(name, cell(text))
    show(console, rows)
    console.print()
    show(console, _upstreams(console, stats, now))
    for line in _troubles(stats, now):
        console.print(cell(line))


def _summary(stats: Stats, now: datetime) -> Iterator[tuple[str, str]]:
    yield from _activity(stats)
    yield from _holdings(stats)
    if stats.evictions.count:
        count, freed = stats.evictions.count, format_size(stats.evictions.bytes)
        yield "Evicted", f"{count:,} manifests and blobs, {freed}"
    yield from _garbage(stats, now)
    if stats.quarantined:
        yield "Damaged", f"{format_count(stats.quarantined, 'blob')} in quarantine"
    if stats.offline:
        yield "Offline", "no upstream is contacted"


def _garbage(stats: Stats, now: datetime) -> Iterator[tuple[str, str]]:
    last, next_run_at = stats.gc.schedule.last_run, stats.gc.schedule.next_run_at
    if stats.gc.count:
        freed = format_size(stats.gc.bytes)
        yield "Collected", f"{format_count(stats.gc.count, 'dead blob')}, {freed}"
    if last is not None:
        what = f"{format_count(last.count, 'blob')}, {format_size(last.bytes)}"
        ended = f"failed: {last.failure}" if last.failure else what
        yield "Last gc", f"{format_moment(last.began_at, now)}, {ended}"
    if next_run_at is not None:
        yield "Next gc", format_moment(next_run_at, now)


def _activity(stats: Stats) -> Iterator[tuple[str, str]]:
    requests, traffic = stats.requests, stats.bytes
    cached = f"{requests.hit:,} hit, {requests.revalidated:,} revalidated, {requests.stale:,} stale"
    others = f"{requests.miss:,} miss, {requests.hosted:,} hosted, {requests.error:,} error"
    yield "Answers", f"{cached}, {others}"
    yield "Hit ratio", format_share(stats.hit_ratio)
    served, fetched = format_size(traffic.served), format_size(traffic.from_upstream)
    yield "Traffic", f"{served} served, {fetched} fetched, {format_size(traffic.saved)} saved"
    yield "Downloads", f"{stats.fills:,} under way"


def _holdings(stats: Stats) -> Iterator[tuple[str, str]]:
    storage = stats.storage
    cached = storage.bytes - storage.hosted_bytes
    yield "Stored", f"{format_size(cached)} of at most {format_size(storage.max_bytes)}"
    counts = (
        format_count(storage.blobs, "blob"),
        format_count(storage.manifests, "manifest"),
        format_count(storage.repositories, "repository"),
    )
    yield "", ", ".join(counts)
    if storage.hosted_bytes:
        yield "Hosted", f"{format_size(storage.hosted_bytes)} beside that, kept until deleted"
    free, kept = format_size(storage.free_bytes), format_size(storage.min_free_bytes)
    yield "Disk", f"{free} free, of which {kept} stay free"


def _upstreams(console: Console, stats: Stats, now: datetime) -> Table:
    columns = (
        Column("Upstream", fold=True),
        Column("State"),
        Column("Requests", "right"),
        Column("Errors", "right"),
        Column("Received", "right"),
        Column("Pulls left", fold=True),
    )
    table = make_table(console, columns)
    for name, upstream in stats.upstreams.items():
        table.add_row(
            cell(name),
            cell(upstream.state, STYLES[upstream.state]),
            f"{upstream.requests:,}",
            f"{upstream.errors:,}",
            format_size(upstream.bytes),
            cell(_quota(upstream.quota, now)),
        )
    return table


def _quota(quota: Quota | None, now: datetime) -> str:
    if quota is None:
        return "unknown"
    return f"{quota.remaining:,} of {quota.limit:,}, {format_moment(quota.observed_at, now)}"


def _troubles(stats: Stats, now: datetime) -> Iterator[str]:
    """Each reason names its upstream."""
    for upstream in stats.upstreams.values():
        if upstream.reason is not None:
            yield f"{upstream.reason}{_retry(upstream.retry_at, now)}"
    for name, webhook in stats.webhooks.items():
        if webhook.failures:
            reason = webhook.reason or "it does not take what it is sent"
            waiting = format_count(webhook.queued, "event")
            yield f"webhook {name}: {reason}; {waiting} wait{_retry(webhook.retry_at, now)}"


def _retry(retry_at: datetime | None, now: datetime) -> str:
    return "" if retry_at is None else f" (next attempt {format_moment(retry_at, now)})"
