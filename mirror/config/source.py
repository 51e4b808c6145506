"""Bytes of a file as text that YAML may contain; what the text means is not known here."""

import re
from pathlib import Path

from mirror.config.problems import ConfigError, Place, Problem

LARGEST_DOCUMENT = 1 << 20

# https://yaml.org/spec/1.1/#c-printable
_UNPRINTABLE = re.compile(
    r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
_ADVICE = {
    FileNotFoundError: "there is no such file",
    IsADirectoryError: "this is a folder: name the file in it",
    PermissionError: "this process may not read it: give its user the right to",
}


def read_text(path: Path) -> str:
    """The whole file without a byte order mark; `ConfigError` says why not."""
    content = _read(path)
    if len(content) > LARGEST_DOCUMENT:
        raise _refusal(path, f"the file is larger than {LARGEST_DOCUMENT >> 20} MiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line = before.count(b"\n") + 1
        column = len(before.rpartition(b"\n")[2].decode("utf-8-sig")) + 1
        place = Place(str(path), line, column)
        problem = Problem(place, "", "the file is not UTF-8 from here on: save it as UTF-8")
        raise ConfigError((problem,)) from None


def unprintable(text: str) -> tuple[int, int, str] | None:
    """Line, column (1-based) and name of the first character that YAML forbids, if any."""
    match = _UNPRINTABLE.search(text)
    if match is None:
        return None
    before = text[: match.start()]
    column = len(before.rpartition("\n")[2]) + 1
    return before.count("\n") + 1, column, f"U+{ord(match[0]):04X}"


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(LARGEST_DOCUMENT + 1)
    except OSError as error:
        advice = _ADVICE.get(type(error), f"it cannot be read: {error.strerror}")
        raise _refusal(path, advice) from None
    except ValueError:
        raise _refusal(path, "this is not the name of a file") from None


def _refusal(path: Path, message: str) -> ConfigError:
    return ConfigError((Problem(Place(str(path)), "", message),))
