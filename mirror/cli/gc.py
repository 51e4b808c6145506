"""``mirror gc``."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

from mirror.api.documents import Collection, Protected
from mirror.cli.admin import ask, parse_origin, read
from mirror.cli.sizes import format_count, format_size
from mirror.cli.tables import Column, cell, make_console, make_table, short_digest, show
from mirror.cli.terminal import echo_json
from mirror.cli.times import format_moment, format_span

PATIENCE = 1800.0
"""Seconds: deleting very many files takes a slow disk its time, and the answer comes after it."""


def report_collection(url: str, *, dry_run: bool, as_json: bool) -> None:
    """Raises Failure."""
    origin = parse_origin(url)
    query = {"dry_run": "true" if dry_run else "false"}
    body = ask(origin, "POST", "/api/v1/gc", query, PATIENCE)
    report = read(origin, body, Collection)
    if as_json:
        echo_json(json.loads(body))
    else:
        _show(report, datetime.now(UTC))


def _show(report: Collection, now: datetime) -> None:
    console = make_console()
    console.print(cell(_summary(report)))
    if report.blobs:
        console.print()
        show(console, _table(console, report, now))
        unnamed = sum(portion.count for portion in report.reasons) - len(report.blobs)
        if unnamed > 0:
            console.print(f"and {unnamed:,} more")
        console.print()
    for line in _lines(report, now):
        console.print(cell(line))


def _summary(report: Collection) -> str:
    if not report.reasons:
        return "nothing would go" if report.dry_run else "nothing went"
    freed, count = format_size(report.freed_bytes), format_count(report.count, "blob")
    if report.dry_run:
        return f"collecting {count} would free {freed}"
    return f"collecting {count} freed {freed} in {format_span(report.seconds)}"


def _table(console: Console, report: Collection, now: datetime) -> Table:
    title = "Would go" if report.dry_run else "Gone"
    columns = (
        Column(title),
        Column("Size", "right"),
        Column("Idle since"),
        Column("Why", fold=True),
    )
    table = make_table(console, columns)
    for blob in report.blobs:
        table.add_row(
            cell(short_digest(blob.digest)),
            format_size(blob.bytes),
            format_moment(blob.idle_since, now),
            cell(blob.reason),
        )
    return table


def _lines(report: Collection, now: datetime) -> Iterator[str]:
    verb = "would go" if report.dry_run else "gone"
    for portion in report.reasons:
        size = format_size(portion.bytes)
        yield f"{verb}: {format_count(portion.count, 'blob')}, {size}: {portion.reason}"
    if report.undeleted.count:
        blobs, size = (
            format_count(report.undeleted.count, "blob"),
            format_size(report.undeleted.bytes),
        )
        yield f"still on disk: {blobs}, {size}: a later sweep removes what could not be deleted now"
    if report.links:
        yield f"{format_count(report.links, 'dead link')} of repositories gone"
    for portion in report.kept:
        size = format_size(portion.bytes)
        yield f"kept: {format_count(portion.count, 'blob')}, {size}: {portion.reason}"
    if report.protected is not None:
        yield _protection(report.protected, report.grace_seconds, now)


def _protection(protected: Protected, grace: int, now: datetime) -> str:
    first, last = format_moment(protected.first, now), format_moment(protected.last, now)
    which = f"the first of them may go {first}, the last {last}"
    return f"what is too young is protected for {format_span(grace)}: {which}"
