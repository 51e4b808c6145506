"""Who may administer, push and delete: decided by the address of the connection, never by a
header.

A header can only take rights away: what came through a proxy, or from a page of another site in
the browser of somebody who is trusted, is refused.
"""

import functools
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web

from mirror.api.services import SERVICES
from mirror.oci.errors import Denied
from mirror.ports.access import Action, Identity

AdminHandler = Callable[[web.Request], Awaitable[web.Response]]

PROXY_HEADERS = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")
SAFE_METHODS = ("GET", "HEAD")
OWN_SITE = ("same-origin", "none")
"""What a browser says of a request from our own pages, and from its address bar."""


def require_admin(handler: AdminHandler) -> AdminHandler:
    """Let only those in who may administer. Raises Denied, with the line that would allow it."""

    @functools.wraps(handler)
    async def guarded(request: web.Request) -> web.Response:
        _refuse_strangers(request, Action.ADMIN, "the admin API is for trusted networks only")
        _refuse_other_sites(request)
        return await handler(request)

    return guarded


def require(request: web.Request, action: Action) -> None:
    """Let only those go on who may push, or delete. Raises Denied, with what would allow it."""
    _refuse_strangers(request, action, f"to {action.value} is for trusted networks only")
    _refuse_other_sites(request)


def identify(request: web.Request) -> Identity:
    """The peer of the connection; nobody when it is no IP address or already gone."""
    peer = request.get_extra_info("peername")
    return Identity(str(peer[0]) if isinstance(peer, tuple) and peer else "")


def _refuse_strangers(request: web.Request, action: Action, refusal: str) -> None:
    policy, identity = request.app[SERVICES].access, identify(request)
    if not policy.allows(identity, action):
        raise Denied(f"{refusal}: {policy.advice(identity, action)}")
    # A TLS proxy on this machine connects from loopback for whoever asks it.
    if any(name in request.headers for name in PROXY_HEADERS):
        raise Denied(
            f"{refusal}, and who asks through a proxy cannot be told: ask the server itself, at"
            " the address in listen"
        )


def _refuse_other_sites(request: web.Request) -> None:
    if request.method in SAFE_METHODS:
        return
    origin = request.headers.get("Origin")
    is_foreign = origin is not None and urlsplit(origin).netloc.lower() != request.host.lower()
    if is_foreign or request.headers.get("Sec-Fetch-Site", "none") not in OWN_SITE:
        raise Denied("no orders are taken from pages of other sites")
