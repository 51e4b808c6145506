"""Which keys exist, asked of the models: what stands at a path, and where a key belongs."""

import difflib
from collections.abc import Iterator, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from mirror.config.model import Config
from mirror.config.problems import KeyPath

# Comparing is quadratic in the length of both words.
_LONGEST_COMPARED = 40
ANY_NAME = "<name>"


def section_at(path: KeyPath) -> type[BaseModel] | None:
    """The section whose keys stand directly below `path`; None where there is none."""
    annotation = _annotation_at(path)
    return annotation if _is_section(annotation) else None


def is_single_value(path: KeyPath) -> bool:
    """Whether one text is written at `path`: neither a section, nor names, nor a list."""
    annotation = _annotation_at(path)
    return annotation is not None and not (
        _is_section(annotation) or get_origin(annotation) in (Mapping, tuple)
    )


def all_keys() -> tuple[KeyPath, ...]:
    """Every key there is, sections before their keys; names that are free are `<name>`."""
    return tuple(_keys_below((), Config))


def suggestion(path: KeyPath) -> str:
    """What an unknown key was probably meant to be, as the end of a sentence."""
    *parent, key = path
    section = section_at(tuple(parent))
    known = list(section.model_fields) if section else []
    if not isinstance(key, str) or len(key) > _LONGEST_COMPARED:
        return ""
    close = difflib.get_close_matches(key.lower().replace("-", "_"), known, n=1)
    if close:
        return f": did you mean {close[0]}?"
    homes = [".".join(map(str, other)) for other in all_keys() if other[-1] == key]
    if len(homes) == 1:
        return f" here: did you mean {homes[0]}?"
    return f": known here are {', '.join(known)}" if known else ""


def _annotation_at(path: KeyPath) -> Any:
    annotation: Any = Config
    for part in path:
        annotation = _below(annotation, part)
    return annotation


def _below(annotation: Any, part: str | int) -> Any:
    if _is_section(annotation):
        field = annotation.model_fields.get(part)
        return field and _bare(field.annotation)
    if get_origin(annotation) is Mapping:
        return _bare(get_args(annotation)[1])
    if get_origin(annotation) is tuple:
        return _bare(get_args(annotation)[0])
    return None


def _keys_below(path: KeyPath, annotation: Any) -> Iterator[KeyPath]:
    if _is_section(annotation):
        for key in annotation.model_fields:
            yield (*path, key)
            yield from _keys_below((*path, key), _below(annotation, key))
    elif get_origin(annotation) is Mapping:
        yield from _keys_below((*path, ANY_NAME), _below(annotation, ANY_NAME))
    elif get_origin(annotation) is tuple:
        yield from _keys_below((*path, 0), _below(annotation, 0))


def _bare(annotation: Any) -> Any:
    """The type without its readers, and without the None of an optional key."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        members = [member for member in get_args(annotation) if member is not NoneType]
        return _bare(members[0]) if len(members) == 1 else annotation
    return NoneType if annotation is None else annotation


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
