"""What all sections share: frozen, no unknown keys, texts read by the parser of their key."""

from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationInfo, model_validator

from mirror.config.problems import shown


class Section(BaseModel):
    """A mapping with known keys. `key:` with nothing behind it leaves the default."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_empty_keys(cls, value: object) -> object:
        if not isinstance(value, dict):
            return {} if value is None else value
        known = cls.model_fields
        return {key: item for key, item in value.items() if item is not None or key not in known}


def reads(parse: Callable[[str], object]) -> BeforeValidator:
    """A key that is written as one text; values that are none are left to the key's type."""
    return BeforeValidator(lambda value: parse(_one_text(value)) if _is_written(value) else value)


def read_path(value: object, info: ValidationInfo) -> Path:
    """An absolute path; a relative one starts at the folder that validation was given."""
    folder = info.context if isinstance(info.context, Path) else Path()
    if isinstance(value, Path):
        return folder.absolute() / value
    text = _one_text(value)
    if not text or not text.isprintable():
        raise ValueError(f"{shown(text)} is not a path")
    if text.startswith("~"):
        raise ValueError(f"{shown(text)}: ~ is not a home folder here: write the whole path")
    # Not resolved: a symbolic link may be pointed elsewhere later, and is then followed.
    return folder.absolute() / text


def _is_written(value: object) -> bool:
    return value is None or isinstance(value, str | list | dict)


def _one_text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be one value, not {_kind(value)}")  # noqa: TRY004 - pydantic collects no TypeError
    return value


def _kind(value: object) -> str:
    if value is None:
        return "nothing"
    return "a list" if isinstance(value, list) else "a mapping"
