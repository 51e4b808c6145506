"""Tables: drawn for a terminal, plain and never cut off in a pipe."""

from dataclasses import dataclass
from typing import Literal

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mirror.cli.terminal import safe

SHORT_DIGEST = 12

WITHOUT_END = 100_000
"""Columns of what is no terminal."""


@dataclass(frozen=True, slots=True)
class Column:
    """Only a column that may ``fold`` gives way where the terminal is narrow."""

    title: str
    align: Literal["left", "right"] = "left"
    fold: bool = False


def make_console() -> Console:
    """Standard output. Square brackets and colons in a text are just that."""
    console = Console(markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console.width = WITHOUT_END
    return console


def make_table(console: Console, columns: tuple[Column, ...]) -> Table:
    table = Table(
        box=SIMPLE_HEAD if console.is_terminal else None,
        show_edge=False,
        pad_edge=False,
        header_style="bold",
    )
    for column in columns:
        table.add_column(
            column.title,
            justify=column.align,
            overflow="fold",
            no_wrap=not column.fold,
        )
    return table


def make_list() -> Table:
    """Names and what there is to say of each, side by side."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def cell(text: str, style: str = "") -> Text:
    """What others wrote, made harmless."""
    return Text(safe(text), style=style)


def short_digest(digest: str) -> str:
    """Enough to tell it from others at a glance; scripts get all of it with ``--json``."""
    return digest.removeprefix("sha256:")[:SHORT_DIGEST]


def show(console: Console, table: Table) -> None:
    if console.is_terminal:
        console.print(table)
        return
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())
