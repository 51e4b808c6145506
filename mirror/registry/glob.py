"""Patterns over names: ``*`` stands for a run within one component, ``**`` for any run."""

import re
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Glob:
    """``library/*`` matches ``library/nginx``; ``team/**`` matches ``team/a`` and ``team/a/b``."""

    text: str
    _pattern: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_pattern", re.compile(_translate(self.text), re.ASCII))

    def matches(self, name: str) -> bool:
        return self._pattern.fullmatch(name) is not None


def _translate(text: str) -> str:
    parts = re.split(r"(\*+|\?)", text)
    return "".join(_part(part) for part in parts)


def _part(part: str) -> str:
    if part == "?":
        return "[^/]"
    if part == "*":
        return "[^/]*"
    if part.startswith("*"):
        return ".*"
    return re.escape(part)
