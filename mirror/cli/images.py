"""``mirror images``."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import click
import msgspec
from rich.console import Console
from rich.table import Table

from mirror.api.documents import Image, Images
from mirror.cli.admin import Origin, ask, image_path, parse_origin, read
from mirror.cli.failure import Absent, Failure, Refused
from mirror.cli.sizes import format_count, format_size
from mirror.cli.tables import Column, cell, make_console, make_table, short_digest, show
from mirror.cli.terminal import echo_json
from mirror.cli.times import format_moment

PAGE = 1000
NOT_FOUND = 404


def report_images(name: str | None, url: str, *, as_json: bool) -> None:
    """Raises Absent when nothing of ``name`` is stored, and Failure."""
    origin = parse_origin(url)
    images = list(_fetch_all(origin)) if name is None else _fetch_some(origin, name)
    if as_json:
        echo_json({"images": msgspec.to_builtins(images), "next": None})
    elif not images:
        click.echo("nothing is stored yet: pull something through the mirror")
    else:
        _show(images, datetime.now(UTC), in_detail=name is not None)


def _fetch_all(origin: Origin, path: str = "/api/v1/images") -> Iterator[Image]:
    query = {"n": str(PAGE)}
    while True:
        page = read(origin, ask(origin, "GET", path, query), Images)
        yield from page.images
        if page.next is None:
            return
        if page.next == query.get("last"):
            raise Failure(f"{origin.url} goes round in circles listing images")
        query["last"] = page.next


def _fetch_some(origin: Origin, name: str) -> Sequence[Image]:
    try:
        return list(_fetch_all(origin, image_path(name)))
    except Refused as error:
        if error.status == NOT_FOUND:
            raise Absent(error.message) from error
        raise


def _show(images: Sequence[Image], now: datetime, *, in_detail: bool) -> None:
    console = make_console()
    show(console, (_details if in_detail else _overview)(console, images, now))
    if console.is_terminal:
        console.print(f"\n{format_count(len(images), 'image')}")


def _overview(console: Console, images: Sequence[Image], now: datetime) -> Table:
    columns = (
        Column("Image", fold=True),
        Column("Size", "right"),
        Column("Complete"),
        Column("Used"),
    )
    table = make_table(console, columns)
    for image in images:
        table.add_row(
            cell(_title(image)),
            format_size(image.bytes),
            _completeness(image),
            format_moment(image.last_used_at, now),
        )
    return table


def _details(console: Console, images: Sequence[Image], now: datetime) -> Table:
    columns = (
        Column("Tag", fold=True),
        Column("Digest"),
        Column("Size", "right"),
        Column("Complete"),
        Column("Confirmed"),
        Column("Used"),
        Column("Platforms", fold=True),
    )
    table = make_table(console, columns)
    for image in images:
        table.add_row(
            cell(image.tag or "-"),
            cell(short_digest(image.digest)),
            format_size(image.bytes),
            _completeness(image),
            format_moment(image.confirmed_at, now),
            format_moment(image.last_used_at, now),
            cell(" ".join(image.platforms) or "-"),
        )
    return table


def _title(image: Image) -> str:
    if image.tag is not None:
        return f"{image.repository}:{image.tag}"
    return f"{image.repository}@{short_digest(image.digest)}"


def _completeness(image: Image) -> str:
    return "yes" if image.complete else "no"
