"""Text that others wrote, on its way to a terminal."""

import json

import click

LONGEST_TEXT = 1000


def safe(text: str) -> str:
    """Nothing in it moves a cursor, colours, hides or reverses what follows."""
    cut = text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}..."
    return "".join(letter if letter.isprintable() else _escaped(letter) for letter in cut)


def echo_json(value: object) -> None:
    """Pure ASCII, so that it is as safe to look at as it is to parse."""
    click.echo(json.dumps(value, indent=2))


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")
