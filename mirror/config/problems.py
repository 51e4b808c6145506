"""What is wrong with the configuration, and where; nothing here reads or parses."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

KeyPath: TypeAlias = tuple[str | int, ...]

_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Place:
    """A position in a file (1-based line and column), or an environment variable (neither)."""

    source: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        source = printable(self.source)
        return source if self.line is None else f"{source}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to correct. `key` is dotted, and empty when the document itself is meant."""

    place: Place
    key: str
    message: str

    def __str__(self) -> str:
        key = f"{self.key}: " if self.key else ""
        return f"{self.place}: {key}{self.message}"


class ConfigError(Exception):
    """The configuration cannot be used; every known reason at once, in reading order."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


def in_reading_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Files before variables, top to bottom, each problem once."""
    return tuple(sorted(dict.fromkeys(problems), key=_reading_order))


def dotted(path: KeyPath) -> str:
    return ".".join(clipped(printable(str(part))) for part in path)


def shown(text: str) -> str:
    """Text somebody else wrote, quoted so that it cannot disturb a terminal or fill a screen."""
    return clipped(repr(text))


def printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else ascii(letter).strip("'") for letter in text)


def clipped(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _reading_order(problem: Problem) -> tuple[bool, str, int, int]:
    place = problem.place
    if place.line is None or place.column is None:
        return (True, place.source, 0, 0)
    return (False, place.source, place.line, place.column)
