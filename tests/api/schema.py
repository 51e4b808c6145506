"""As much of JSON Schema as the description of the admin API uses; any other keyword fails."""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

Schema = Mapping[str, Any]

ANNOTATIONS = {"title", "description", "default"}
OF_OBJECTS = {"properties", "required", "additionalProperties"}
TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def _is_a(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    return isinstance(value, TYPES[name])


def _is_moment(value: Any, wanted: str) -> bool:
    assert wanted == "date-time"
    return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None


def _is_number(value: Any) -> bool:
    return _is_a(value, "number")


SIMPLE: Mapping[str, Callable[[Any, Any], bool]] = {
    "type": _is_a,
    "enum": lambda value, wanted: value in wanted,
    "minimum": lambda value, wanted: not _is_number(value) or value >= wanted,
    "maximum": lambda value, wanted: not _is_number(value) or value <= wanted,
    "format": _is_moment,
    "pattern": lambda value, wanted: re.search(wanted, value) is not None,
}


def violations(value: Any, schema: Schema, document: Schema, place: str = "$") -> Iterator[str]:
    """What is wrong with the value, each with its place; properties nobody described too."""
    for keyword, wanted in schema.items():
        if keyword in SIMPLE:
            if not SIMPLE[keyword](value, wanted):
                yield f"{place}: {value!r} breaks {keyword} {wanted}"
        elif keyword == "$ref":
            yield from violations(value, resolve(wanted, document), document, place)
        elif keyword == "anyOf":
            found = [list(violations(value, option, document, place)) for option in wanted]
            if all(found):
                yield f"{place}: {value!r} is none of {wanted}"
        elif keyword == "items":
            for position, item in enumerate(value):
                yield from violations(item, wanted, document, f"{place}[{position}]")
        else:
            assert keyword in ANNOTATIONS | OF_OBJECTS, f"{place}: unknown keyword {keyword}"
    if isinstance(value, dict):
        yield from _properties(value, schema, document, place)


def _properties(
    value: Mapping[str, Any], schema: Schema, document: Schema, place: str
) -> Iterator[str]:
    known = schema.get("properties", {})
    others = schema.get("additionalProperties")
    missing = (key for key in schema.get("required", ()) if key not in value)
    yield from (f"{place}: {key} is missing" for key in missing)
    for key, item in value.items():
        if key in known:
            yield from violations(item, known[key], document, f"{place}.{key}")
        elif isinstance(others, Mapping):
            yield from violations(item, others, document, f"{place}.{key}")
        elif known:
            yield f"{place}: {key} is not described"


def resolve(reference: str, document: Schema) -> Schema:
    part: Any = document
    for key in reference.removeprefix("#/").split("/"):
        part = part[key]
    assert isinstance(part, Mapping)
    return part
