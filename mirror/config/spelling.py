"""How the name of an upstream is written in a variable, where shells allow neither dots nor dashes.

Which names there are is for others to say.
"""

import re
from collections.abc import Iterable

_SHELL_WORD = re.compile(r"[a-z0-9_]+", re.ASCII)
_BETWEEN = re.compile(r"[^a-z0-9]+", re.ASCII)


def spelling(name: str) -> str:
    """``docker.io`` as ``docker_io``: whatever is between letters and digits is one underscore."""
    return _BETWEEN.sub("_", name).strip("_")


def is_spelling(key: str) -> bool:
    """Whether the key stands for a name; any other key is one."""
    return "_" in key and _SHELL_WORD.fullmatch(key) is not None


def spelled_so(key: str, names: Iterable[str]) -> tuple[str, ...]:
    """The names that a key with underscores can mean, in order, each once."""
    return tuple(sorted({name for name in names if name == key or spelling(name) == key}))
