"""Answers that are for people and scripts rather than for registry clients."""

import msgspec
from aiohttp import web

HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    # The framework would say which one it is, in which version.
    "Server": "mirror",
}


def json_answer(document: msgspec.Struct) -> web.Response:
    return encoded_answer(msgspec.json.encode(document))


def encoded_answer(body: bytes) -> web.Response:
    """A body that is JSON already."""
    return web.Response(body=body, content_type="application/json", headers=HEADERS)


def text_answer(text: str, status: int = 200) -> web.Response:
    return web.Response(text=f"{text}\n", status=status, headers=HEADERS)
