"""The password file of an upstream: read once, when the configuration is loaded."""

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from mirror.config.problems import shown

LARGEST_PASSWORD = 64 << 10

_FORBIDDEN = re.compile(r"[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class PasswordFile:
    """What the file held when it was read, without one line end at its end."""

    path: Path
    secret: SecretStr
    readable_by_everyone: bool


def read_password_file(path: Path) -> PasswordFile:
    """`ValueError` says what is wrong with the file and never what is in it."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(LARGEST_PASSWORD + 1)
    except OSError as error:
        raise ValueError(f"{shown(str(path))} cannot be read: {error.strerror}") from None
    if len(content) > LARGEST_PASSWORD:
        raise ValueError(f"{shown(str(path))} is too large for a password")
    secret = parse_secret(_text(path, content))
    if not secret.get_secret_value():
        raise ValueError(f"{shown(str(path))} is empty: write the password or token into it")
    return PasswordFile(path, secret, bool(mode & stat.S_IROTH))


def parse_secret(text: str) -> SecretStr:
    """Line ends are legal: the password for `_json_key` is a whole JSON document."""
    if _FORBIDDEN.search(text):
        raise ValueError("it contains a character that no password can contain")
    return SecretStr(text)


def parse_password(text: str) -> SecretStr:
    if not text:
        raise ValueError("an empty password is none: remove the credentials, or fill it in")
    return parse_secret(text)


def parse_username(text: str) -> str:
    # https://www.rfc-editor.org/rfc/rfc7617#section-2
    if not text or ":" in text or not text.isprintable():
        raise ValueError(
            "a user name has at least one character, and no colon or control character"
        )
    return text


def _text(path: Path, content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        problem = f"{shown(str(path))} is not UTF-8"
    else:
        return text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text
    # Outside the handler: the decoder's own error carries the content with it.
    raise ValueError(problem)
