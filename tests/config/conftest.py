from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mirror.config import Config, ConfigError, load_config

NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True)
class Folder:
    """A working directory that may hold a `mirror.yaml`."""

    path: Path
    file: Path = field(default=Path("mirror.yaml"))

    def load(self, text: str | bytes, environ: Mapping[str, str] = NOTHING) -> Config:
        self.write(text)
        return load_config(self.file, environ)

    def write(self, text: str | bytes) -> None:
        self.file.write_bytes(text.encode() if isinstance(text, str) else text)

    def complaints(self, text: str | bytes, environ: Mapping[str, str] = NOTHING) -> list[str]:
        self.write(text)
        return complaints_of(self.file, environ)

    def complaint(self, text: str | bytes, environ: Mapping[str, str] = NOTHING) -> str:
        complaints = self.complaints(text, environ)
        assert len(complaints) == 1, complaints
        return complaints[0]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.chdir(tmp_path)
    return Folder(tmp_path)


def complaint_of(parse: Callable[[str], object], text: str) -> str:
    """Why the text is refused; empty when it is not."""
    try:
        parse(text)
    except ValueError as error:
        return str(error)
    return ""


def complaints_of(path: Path | None, environ: Mapping[str, str] = NOTHING) -> list[str]:
    """Why nothing is loaded; empty when something is."""
    try:
        load_config(path, environ)
    except ConfigError as error:
        return str(error).split("\n")
    return []
