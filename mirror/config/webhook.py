"""One section of `webhooks`: who is told of what.

A URL may hold a token, so no message repeats one. Every `parse_…` raises `ValueError` whose text
says what is wrong and what would be right.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Annotated, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    SecretStr,
    ValidationInfo,
)

from mirror.config.addresses import is_plain_http_over_network, parse_host
from mirror.config.credentials import PasswordFile, parse_secret, read_password_file
from mirror.config.patterns import parse_repositories
from mirror.config.problems import shown
from mirror.config.quantities import parse_wait
from mirror.config.section import Section, read_path, reads

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,62}", re.ASCII)
_URL_TAIL = re.compile(r"[!-~]*", re.ASCII)
# https://www.rfc-editor.org/rfc/rfc9110#name-tokens
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)
_HEADER_VALUE = re.compile(r"[!-~](?:[ !-~]*[!-~])?", re.ASCII)
_LONGEST_HEADER = 8192
_OURS = ("content-", "x-mirror-", "transfer-encoding", "connection", "host", "expect")
_COUNT = re.compile(r"[0-9]{1,7}", re.ASCII)
_MOST_QUEUED = 1_000_000

Wanted: TypeAlias = Literal["push", "pull", "delete", "moved"]
Wait = Annotated[timedelta, reads(parse_wait)]


def parse_webhook_name(text: str) -> str:
    """What a webhook is called in figures and logs."""
    if not _NAME.fullmatch(text):
        raise ValueError(
            f"{shown(text)} cannot be a webhook's name: use letters, digits and . _ - :"
        )
    return text


def parse_webhook_url(text: str) -> SecretStr:
    """An http or https URL; path and query are taken as they are."""
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ValueError("is not a URL: write https://host/path") from None
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError("must begin with https:// or http:// and a host")
    if "@" in parts.netloc:
        raise ValueError("must not contain a user name or a password: use headers for them")
    if not _URL_TAIL.fullmatch(text) or "#" in text or "\\" in text:
        raise ValueError("contains a character that must be written as %xx")
    host = parse_host(parts.netloc)
    tail = text.partition("://")[2][len(parts.netloc) :]
    return SecretStr(f"{parts.scheme}://{host}{tail}")


def parse_webhook_secret(text: str) -> SecretStr:
    if not text:
        raise ValueError("an empty secret is none: everyone could sign with it")
    return parse_secret(text)


def parse_header_name(text: str) -> str:
    if not _HEADER_NAME.fullmatch(text) or text.lower().startswith(_OURS):
        raise ValueError(f"{shown(text)} is no header that can be set here")
    return text


def parse_header_value(text: str) -> SecretStr:
    if not _HEADER_VALUE.fullmatch(text) or len(text) > _LONGEST_HEADER:
        raise ValueError("a header has at least one character, and only printable ASCII")
    return SecretStr(text)


def parse_count(text: str) -> int:
    if not _COUNT.fullmatch(text) or not 0 < int(text) <= _MOST_QUEUED:
        raise ValueError(f"{shown(text)} is not a number from 1 to {_MOST_QUEUED}")
    return int(text)


def host_of(url: str) -> str:
    """Of a parsed URL, with its port if that is written."""
    return urlsplit(url).netloc


def _read_secret_file(value: object, info: ValidationInfo) -> PasswordFile:
    return read_password_file(read_path(value, info))


def _some(items: tuple[str, ...]) -> tuple[str, ...]:
    if not items:
        raise ValueError("nothing would ever be sent: name something, or remove the webhook")
    return items


def _no_headers() -> Mapping[str, SecretStr]:
    return MappingProxyType({})


Headers = Annotated[
    Mapping[
        Annotated[str, AfterValidator(parse_header_name)],
        Annotated[SecretStr, reads(parse_header_value)],
    ],
    AfterValidator(MappingProxyType),
    PlainSerializer(dict, return_type=dict[str, SecretStr]),
]


class Webhook(Section):
    """Exactly one of `secret` and `secret_file` is set."""

    url: Annotated[SecretStr, reads(parse_webhook_url)]
    name: Annotated[str | None, reads(parse_webhook_name)] = None
    secret: Annotated[SecretStr | None, reads(parse_webhook_secret)] = None
    secret_file: Annotated[PasswordFile | None, BeforeValidator(_read_secret_file)] = None
    events: Annotated[tuple[Annotated[Wanted, reads(str.lower)], ...], AfterValidator(_some)] = (
        "push",
        "delete",
        "moved",
    )
    repositories: Annotated[
        tuple[Annotated[str, reads(parse_repositories)], ...], AfterValidator(_some)
    ] = ("**",)
    headers: Headers = Field(default_factory=_no_headers)
    timeout: Wait = timedelta(seconds=10)
    give_up_after: Wait = timedelta(days=3)
    max_queued: Annotated[int, reads(parse_count)] = 10_000

    @property
    def label(self) -> str:
        """What it is called: its name, or where it is."""
        return self.name or host_of(self.url.get_secret_value())

    @property
    def signing_secret(self) -> SecretStr:
        """The secret, wherever it was written."""
        if self.secret_file is not None:
            return self.secret_file.secret
        return self.secret or SecretStr("")

    @property
    def shows_headers(self) -> bool:
        """Whether its headers can be read on the way."""
        return bool(self.headers) and is_plain_http_over_network(self.url.get_secret_value())
