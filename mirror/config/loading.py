"""From a file and an environment to one `Config`, or to everything that is wrong with them."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from mirror.config.contradictions import contradictions
from mirror.config.document import Entry, Parsed, Scalar, Table, nearest, parse_yaml, plain
from mirror.config.environment import overlay, sets_part_of
from mirror.config.explanation import explain
from mirror.config.model import Config
from mirror.config.problems import ConfigError, Place, Problem, in_reading_order
from mirror.config.source import read_text
from mirror.config.upstream import DOCKER_HUB

_BUILT_IN = Place("(default)")


def load_config(path: Path | None, environ: Mapping[str, str]) -> Config:
    """The file at `path`, or the defaults where it is None, with `environ` laid over it.

    Relative paths in the file start at its folder; without a file, at the working directory.
    Everything that is wrong comes in one `ConfigError`. A file that is not YAML is the only thing
    wrong with it.
    """
    parsed = _read_document(path)
    document = parsed.node
    if not isinstance(document, Table):
        problem = Problem(document.place, "", "must be keys with values, such as offline: true")
        raise ConfigError((*parsed.problems, problem))
    laid = overlay(_with_built_in_upstream(document, environ), environ)
    folder = path.parent if path else Path()
    config, invalid = _validate(laid.document, folder)
    problems = (*parsed.problems, *laid.problems, *invalid, *contradictions(laid.document))
    if problems or config is None:
        raise ConfigError(in_reading_order(problems))
    return config


def _read_document(path: Path | None) -> Parsed:
    if path is None:
        return Parsed(Table({}, _BUILT_IN), ())
    place = Place(str(path), 1, 1)
    parsed = parse_yaml(read_text(path), place)
    if parsed.node == Scalar(None, parsed.node.place):
        return Parsed(Table({}, place), parsed.problems)
    return parsed


def _with_built_in_upstream(document: Table, environ: Mapping[str, str]) -> Table:
    """A variable below `upstreams` changes or adds to what is there, Docker Hub by default."""
    entry, node = nearest(document, ("upstreams",))
    given = entry is not None and node != Scalar(None, node.place)
    if given or not sets_part_of("upstreams", environ):
        return document
    default = Table({"default": Entry(_BUILT_IN, Scalar("true", _BUILT_IN))}, _BUILT_IN)
    upstreams = Table({DOCKER_HUB: Entry(_BUILT_IN, default)}, _BUILT_IN)
    return Table({**document.entries, "upstreams": Entry(_BUILT_IN, upstreams)}, document.place)


def _validate(document: Table, folder: Path) -> tuple[Config | None, list[Problem]]:
    try:
        return Config.model_validate(plain(document), context=folder), []
    except ValidationError as error:
        return None, explain(document, error)
