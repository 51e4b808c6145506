"""``mirror evict``."""

import json
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

from mirror.api.documents import Eviction, Victim
from mirror.cli.admin import ask, parse_origin, read
from mirror.cli.sizes import format_size
from mirror.cli.tables import Column, cell, make_console, make_table, short_digest, show
from mirror.cli.terminal import echo_json
from mirror.cli.times import format_moment

PATIENCE = 1800.0
"""Seconds: deleting very many files takes a slow disk its time, and the answer comes after it."""


def report_eviction(url: str, *, dry_run: bool, as_json: bool) -> None:
    """Raises Failure."""
    origin = parse_origin(url)
    query = {"dry_run": "true" if dry_run else "false"}
    body = ask(origin, "POST", "/api/v1/evict", query, PATIENCE)
    report = read(origin, body, Eviction)
    if as_json:
        echo_json(json.loads(body))
    else:
        _show(report, datetime.now(UTC))


def _show(report: Eviction, now: datetime) -> None:
    console = make_console()
    console.print(cell(_summary(report)))
    if report.victims:
        console.print()
        show(console, _table(console, report, now))
    unnamed = report.count - len(report.victims)
    if unnamed > 0:
        console.print(f"and {unnamed:,} more")
    for kept in report.kept:
        console.print(cell(f"kept {kept.count:,}: {kept.reason}"))


def _summary(report: Eviction) -> str:
    if not report.count:
        return f"{'nothing would go' if report.dry_run else 'nothing went'}: {report.reason}"
    freed, needed = format_size(report.freed_bytes), format_size(report.needed_bytes)
    verb = "would free" if report.dry_run else "freed"
    return f"evicting {report.count:,} {verb} {freed}, {needed} are needed: {report.reason}"


def _table(console: Console, report: Eviction, now: datetime) -> Table:
    title = "Would go" if report.dry_run else "Gone"
    columns = (Column(title, fold=True), Column("Frees", "right"), Column("Last used"))
    table = make_table(console, columns)
    for victim in report.victims:
        used = format_moment(victim.last_used_at, now)
        table.add_row(cell(_title(victim)), format_size(victim.bytes), used)
    return table


def _title(victim: Victim) -> str:
    if victim.repository is None:
        return f"blob {short_digest(victim.digest)}"
    if not victim.tags:
        return f"{victim.repository}@{short_digest(victim.digest)}"
    return f"{victim.repository}:{', '.join(victim.tags)}"
