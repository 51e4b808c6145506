"""An answer before it is sent: status, header lines in order, body."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus

Headers = tuple[tuple[str, str], ...]
API_VERSION = ("Docker-Distribution-Api-Version", "registry/2.0")
Octets = bytes | memoryview


@dataclass(frozen=True, slots=True)
class Reply:
    """`headers` hold the framing too, so a fault may lie about it. `close` ends the connection."""

    status: int
    headers: Headers = ()
    body: Octets = b""
    close: bool = False

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def without(self, *names: str) -> "Reply":
        unwanted = {name.lower() for name in names}
        kept = tuple(line for line in self.headers if line[0].lower() not in unwanted)
        return replace(self, headers=kept)

    def having(self, *lines: tuple[str, str]) -> "Reply":
        """With these header lines in place of those of the same name."""
        cleared = self.without(*(name for name, _ in lines))
        return replace(cleared, headers=(*cleared.headers, *lines))

    def carrying(self, body: Octets) -> "Reply":
        """With another body and an honest length."""
        return replace(self.having(("Content-Length", str(len(body)))), body=body)

    @property
    def head(self) -> bytes:
        lines = [f"HTTP/1.1 {self.status} {reason(self.status)}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def content(status: int, body: Octets, media_type: str, *lines: tuple[str, str]) -> Reply:
    headers = (("Content-Type", media_type), *lines)
    return Reply(status, headers).carrying(body)


def document(status: int, value: Mapping[str, object], *lines: tuple[str, str]) -> Reply:
    return content(status, json.dumps(value).encode(), "application/json", *lines)


def failure(status: int, code: str, message: str, detail: object = None) -> Reply:
    """The error document of the distribution specification."""
    error: dict[str, object] = {"code": code, "message": message}
    if detail is not None:
        error["detail"] = detail
    return document(status, {"errors": [error]})


def text(status: int, message: str, *lines: tuple[str, str]) -> Reply:
    return content(status, message.encode(), "text/plain", *lines)


def redirect(status: int, location: str) -> Reply:
    return Reply(status, (("Location", location), ("Content-Length", "0")))


def reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
