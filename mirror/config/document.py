"""YAML as a tree of texts, lists and tables that know their place; no key has a meaning yet.

Scalars stay as they were typed: `no`, `0123` and `1:30` are texts until a key asks for something
else, so none of YAML's guesses about types can change a user name or a size.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import yaml

from mirror.config.problems import ConfigError, KeyPath, Place, Problem, dotted, shown
from mirror.config.source import unprintable

DEEPEST = 32
# Aliases count each time they are used, which is what keeps a small file from growing huge.
MOST_VALUES = 50_000

_YAML = "tag:yaml.org,2002:"
_PLAIN = {_YAML + name for name in ("str", "int", "float", "bool", "timestamp", "value", "merge")}


class _Mark(Protocol):
    """A position of either of the two YAML parsers, from 0."""

    @property
    def line(self) -> int: ...
    @property
    def column(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Scalar:
    """`text` is None for `null`, `~` and nothing at all."""

    text: str | None
    place: Place


@dataclass(frozen=True, slots=True)
class Listing:
    items: tuple["Node", ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Entry:
    """A value and where its key stands."""

    key_place: Place
    node: "Node"


@dataclass(frozen=True, slots=True)
class Table:
    entries: Mapping[str, Entry]
    place: Place


Node: TypeAlias = Scalar | Listing | Table


@dataclass(frozen=True, slots=True)
class Parsed:
    """`node` leaves out what the problems are about."""

    node: Node
    problems: tuple[Problem, ...]


def parse_yaml(text: str, place: Place) -> Parsed:
    """One YAML document. Places get line and column where `place` has them.

    What is not YAML, or is too deep or too much, raises `ConfigError` with that one problem.
    """
    forbidden = unprintable(text)
    if forbidden:
        line, column, name = forbidden
        raise _refusal(_at(place, line, column), f"the control character {name} is not allowed")
    try:
        _check_extent(text, place)
        root = yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        raise _not_yaml(error, text, place) from None
    except yaml.YAMLError:
        raise _refusal(place, "not valid YAML") from None
    if root is None:
        return Parsed(Scalar(None, _at(place, 1, 1)), ())
    builder = _Builder(place)
    return Parsed(builder.build(root, ()), tuple(builder.problems))


def plain(node: Node) -> object:
    """The tree without its places: dictionaries, lists, texts and None."""
    match node:
        case Scalar(text=text):
            return text
        case Listing(items=items):
            return [plain(item) for item in items]
        case Table(entries=entries):
            return {key: plain(entry.node) for key, entry in entries.items()}


def nearest(table: Table, path: KeyPath) -> tuple[Entry | None, Node]:
    """The value at `path`, or the last one on the way to it, with its key if it has one."""
    entry: Entry | None = None
    node: Node = table
    for part in path:
        match node, part:
            case Table(entries=entries), str() if part in entries:
                entry = entries[part]
                node = entry.node
            case Listing(items=items), int() if part < len(items):
                entry, node = None, items[part]
            case _:
                break
    return entry, node


@dataclass(slots=True)
class _Builder:
    origin: Place
    problems: list[Problem] = field(default_factory=list)
    values: int = 0

    def build(self, node: yaml.Node, path: KeyPath) -> Node:
        place = self._place(node)
        self.values += 1
        _refuse_extent(len(path), self.values, place)
        if isinstance(node, yaml.MappingNode):
            return Table(dict(self._entries(node, path)), place)
        if isinstance(node, yaml.SequenceNode):
            return Listing(tuple(self._items(node, path)), place)
        return self._scalar(node, path, place)

    def _scalar(self, node: yaml.Node, path: KeyPath, place: Place) -> Scalar:
        if node.tag == _YAML + "null":
            return Scalar(None, place)
        if node.tag not in _PLAIN:
            self._report(place, path, "values with a tag such as !!binary are not understood")
        return Scalar(str(node.value), place)

    def _items(self, node: yaml.SequenceNode, path: KeyPath) -> Iterator[Node]:
        return (self.build(item, (*path, index)) for index, item in enumerate(node.value))

    def _entries(self, node: yaml.MappingNode, path: KeyPath) -> Iterator[tuple[str, Entry]]:
        seen: dict[str, Place] = {}
        merged: list[yaml.Node] = []
        for key, value in node.value:
            place = self._place(key)
            if key.tag == _YAML + "merge":
                merged.append(value)
            elif not isinstance(key, yaml.ScalarNode):
                self._report(place, path, "a key must be a plain word, not a list or a mapping")
            elif key.value in seen:
                self._report(place, (*path, key.value), _given_twice(seen[key.value]))
            else:
                seen[key.value] = place
                yield key.value, Entry(place, self.build(value, (*path, key.value)))
        for key, entry in self._merged(merged, path):
            if key not in seen:
                seen[key] = entry.key_place
                yield key, entry

    def _merged(self, values: list[yaml.Node], path: KeyPath) -> Iterator[tuple[str, Entry]]:
        """Entries that `<<: *anchor` brings in, nearest first. https://yaml.org/type/merge.html"""
        for value in values:
            match self.build(value, (*path, "<<")):
                case Table(entries=entries):
                    yield from entries.items()
                case Listing(items=items) if all(isinstance(item, Table) for item in items):
                    for table in items:
                        assert isinstance(table, Table)
                        yield from table.entries.items()
                case other:
                    self._report(other.place, path, "<<: takes a mapping, or a list of them")

    def _place(self, node: yaml.Node) -> Place:
        return _marked(self.origin, node.start_mark)

    def _report(self, place: Place, path: KeyPath, message: str) -> None:
        self.problems.append(Problem(place, dotted(path), message))


def _check_extent(text: str, place: Place) -> None:
    """Composing calls itself once per level, in C: extent is bounded before it starts."""
    depth = values = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        values += isinstance(event, yaml.NodeEvent)
        _refuse_extent(depth, values, _marked(place, event.start_mark))


def _refuse_extent(depth: int, values: int, place: Place) -> None:
    if depth > DEEPEST:
        raise _refusal(place, f"lists and mappings nested more than {DEEPEST} deep")
    if values > MOST_VALUES:
        raise _refusal(place, f"more than {MOST_VALUES} keys and values, counting aliases")


def _given_twice(first: Place) -> str:
    where = "" if first.line is None else f", first at line {first.line}, column {first.column}"
    return f"given twice{where}: keep one of the two"


def _at(place: Place, line: int, column: int) -> Place:
    return place if place.line is None else Place(place.source, line, column)


def _marked(place: Place, mark: _Mark | None) -> Place:
    return _at(place, mark.line + 1, mark.column + 1) if mark else place


def _refusal(place: Place, message: str) -> ConfigError:
    return ConfigError((Problem(place, "", message),))


def _not_yaml(error: yaml.MarkedYAMLError, text: str, place: Place) -> ConfigError:
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return _refusal(place, f"not valid YAML: {error.problem or error.context}")
    context = f" {error.context}" if error.context else ""
    advice = _advice(error, text)
    message = f"not valid YAML: {error.problem}{context}{advice}"
    return _refusal(_marked(place, mark), message)


def _advice(error: yaml.MarkedYAMLError, text: str) -> str:
    """What probably happened, from the characters where the parser stopped and started."""
    met = {_letter_at(text, mark) for mark in (error.problem_mark, error.context_mark) if mark} - {
        ""
    }
    if "\t" in met:
        return "; indent with spaces, not with tabs"
    special = sorted(met & set("*&!%@`"))
    if special:
        return f"; a value that begins with {shown(special[0])} must stand in quotes"
    problem = error.problem or ""
    if "node content" in problem and ":" in met:
        return '; an address that begins with a bracket must stand in quotes: "[::1]:5000"'
    if "mapping values are not allowed" in problem:
        return '; check the indentation, and put a value that contains ": " in quotes'
    return ""


def _letter_at(text: str, mark: _Mark) -> str:
    lines = text.splitlines()
    return lines[mark.line][mark.column : mark.column + 1] if mark.line < len(lines) else ""
