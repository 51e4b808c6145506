"""`MIRROR__CACHE__MAX_SIZE=…`: any key from the environment, which wins over the file."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from mirror.config.document import Entry, Node, Scalar, Table, nearest, parse_yaml
from mirror.config.problems import ConfigError, Place, Problem, dotted, shown
from mirror.config.schema import is_single_value
from mirror.config.spelling import is_spelling, spelled_so, spelling
from mirror.config.upstream import DOCKER_HUB, WELL_KNOWN

_PREFIX = "mirror__"
_SEPARATOR = "__"
_DEEPEST = 8
_UPSTREAMS = "upstreams"
_MOST_LISTED = 5
# A password may look like anything, YAML included: these are taken to the letter.
_LITERAL = {"username", "password"}


@dataclass(frozen=True, slots=True)
class Overlaid:
    """The document with the environment laid over it, and what could not be laid there."""

    document: Table
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class _Override:
    path: tuple[str, ...]
    text: str
    place: Place

    @property
    def is_possible(self) -> bool:
        return len(self.path) <= _DEEPEST and "" not in self.path

    @property
    def upstream(self) -> str | None:
        """The name of the upstream it is for, as it is written here."""
        return self.path[1] if self.path[0] == _UPSTREAMS and len(self.path) > 1 else None

    def problem(self, message: str, key_below: str = "") -> Problem:
        key = dotted(self.path[:_DEEPEST])
        return Problem(self.place, f"{key}.{key_below}" if key_below else key, message)


@dataclass(slots=True)
class _Overlay:
    document: Table
    problems: list[Problem] = field(default_factory=list)

    def named(self, override: _Override, added: Iterable[str]) -> _Override | None:
        """The override with the upstream that it means, or None after saying why it means none.

        ``added`` are upstreams that other variables add.
        """
        key = override.upstream
        if key is None or not is_spelling(key):
            return override
        names = {*self._upstreams(), *added}
        meant = spelled_so(key, names)
        if len(meant) == 1:
            return replace(override, path=(_UPSTREAMS, *meant, *override.path[2:]))
        trouble = _unclear(key, meant) if meant else _unknown(key, names)
        self.problems.append(override.problem(trouble))
        return None

    def _upstreams(self) -> Iterable[str]:
        entry, node = nearest(self.document, (_UPSTREAMS,))
        return node.entries if entry and isinstance(node, Table) else (DOCKER_HUB,)

    def apply(self, override: _Override) -> None:
        node = self._value(override)
        if node is not None:
            self.document = self._with(self.document, override, node, 0)

    def _value(self, override: _Override) -> Node | None:
        """What the variable says, or None after saying why it cannot be told."""
        literal = Scalar(override.text, override.place)
        if override.path[-2:-1] == ("credentials",) and override.path[-1] in _LITERAL:
            return literal if override.text else Scalar(None, override.place)
        single = is_single_value(override.path)
        try:
            parsed = parse_yaml(override.text, override.place)
        except ConfigError as error:
            if single:
                return literal
            self.problems += (override.problem(found.message) for found in error.problems)
            return None
        if single and not isinstance(parsed.node, Scalar):
            return literal
        self.problems += (override.problem(at.message, at.key) for at in parsed.problems)
        return parsed.node

    def _with(self, table: Table, override: _Override, node: Node, depth: int) -> Table:
        """`table` with `node` at the rest of the override's path, below what is there already."""
        key, is_last = override.path[depth], depth + 1 == len(override.path)
        entry = table.entries.get(key)
        if not is_last:
            below = self._below(entry, override, depth + 1)
            if below is None:
                return table
            node = self._with(below, override, node, depth + 1)
        # A section of the file of which the environment changes a part still stands in the file.
        in_file = entry is not None and entry.key_place.line is not None
        place = entry.key_place if entry and in_file and not is_last else override.place
        return Table({**table.entries, key: Entry(place, node)}, table.place)

    def _below(self, entry: Entry | None, override: _Override, depth: int) -> Table | None:
        node = entry.node if entry else Scalar(None, override.place)
        match node:
            case Table() as table:
                return table
            case Scalar(text=None):
                return Table({}, override.place)
        above = dotted(override.path[:depth])
        message = f"{above} is a single value or a list, at {node.place}: set it as a whole"
        self.problems.append(override.problem(message))
        return None


def overlay(document: Table, environ: Mapping[str, str]) -> Overlaid:
    """Whole sections first, single keys on top of them."""
    laid = _Overlay(document)
    written = tuple(_overrides(environ))
    added = _added_upstreams(written)
    overrides: dict[tuple[str, ...], _Override] = {}
    for each in written:
        if not each.is_possible:
            laid.problems.append(each.problem("there is no such key"))
            continue
        override = laid.named(each, added)
        if override is None:
            continue
        first = overrides.setdefault(override.path, override)
        if first is not override:
            laid.problems.append(
                override.problem(f"also set as {first.place}: keep one of the two")
            )
        else:
            laid.apply(override)
    return Overlaid(laid.document, tuple(laid.problems))


def sets_part_of(key: str, environ: Mapping[str, str]) -> bool:
    """Whether something below `key` is set, and `key` itself is not."""
    paths = [override.path for override in _overrides(environ) if override.path[0] == key]
    return bool(paths) and (key,) not in paths


def _overrides(environ: Mapping[str, str]) -> Iterator[_Override]:
    found = []
    for name, text in environ.items():
        if name.lower().startswith(_PREFIX):
            path = tuple(name.lower().removeprefix(_PREFIX).split(_SEPARATOR))
            found.append(_Override(path, text, Place(name)))
    return iter(sorted(found, key=lambda override: (len(override.path), override.place.source)))


def _added_upstreams(overrides: Iterable[_Override]) -> frozenset[str]:
    """The names that are written as they are."""
    names = (override.upstream for override in overrides if override.is_possible)
    return frozenset(name for name in names if name is not None and not is_spelling(name))


def _unclear(key: str, names: tuple[str, ...]) -> str:
    return (
        f"{shown(key)} can be {_listed(names, ' or ')}: set it in the file, or write the name as"
        " it is, with its dots and dashes"
    )


def _unknown(key: str, names: Iterable[str]) -> str:
    """Most likely somebody means to add an upstream; which one can only be told of known ones."""
    likely = next((name for name in WELL_KNOWN if spelling(name) == key), "ghcr.io")
    return (
        f"no upstream is written {shown(key)}, there is {_listed(sorted(names), ', ') or 'none'};"
        " to add one, name it in the file, or write the name as it is:"
        f" env 'MIRROR__UPSTREAMS__{likely.upper()}__URL=…'"
    )


def _listed(names: Sequence[str], separator: str) -> str:
    return separator.join(dotted((name,)) for name in names[:_MOST_LISTED])
