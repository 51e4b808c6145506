"""Who may come in: challenges, the token endpoint, the tokens it has handed out."""

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import parse_qs

from tests.simulated_hub.log import Request
from tests.simulated_hub.reply import API_VERSION, Reply, document, failure
from tests.simulated_hub.repositories import Repositories

AuthMode = Literal["bearer", "basic", "none"]
TokenField = Literal["token", "access_token", "expires_in", "issued_at"]
ALL_FIELDS: frozenset[TokenField] = frozenset(("token", "access_token", "expires_in", "issued_at"))
OPEN_ROUTES = frozenset(("token", "cdn"))


@dataclass(frozen=True, slots=True)
class Grant:
    user: str | None
    scopes: frozenset[str]
    """Names of the repositories that the token lets in to."""
    expires: float


class WrongPasswordError(Exception):
    """Credentials were given, and they are not right."""


@dataclass(slots=True)
class Tokens:
    """Every attribute may be changed while the hub runs."""

    repositories: Repositories
    mode: AuthMode = "bearer"
    users: dict[str, str] = field(default_factory=dict)
    realm: str = ""
    service: str | None = "registry.docker.io"
    """None: the challenge does not name a service."""
    lifetime: float = 300.0
    fields: frozenset[TokenField] = ALL_FIELDS
    challenges: tuple[str, ...] | None = None
    """Header values sent in place of the right challenge; one line each."""
    clock: Callable[[], float] = lambda: 0.0
    issued: int = 0
    _grants: dict[str, Grant] = field(default_factory=dict)

    def revoke(self) -> None:
        self._grants.clear()

    def refusal(self, request: Request) -> Reply | None:
        """The 401 that this request earns; None lets it in."""
        if self.mode == "none" or request.route in OPEN_ROUTES:
            return None
        if self.mode == "basic":
            return self._basic_refusal(request)
        return self._bearer_refusal(request)

    def issue(self, request: Request) -> Reply:
        """The answer of the token endpoint, for GET and for the OAuth2 form of POST."""
        form = self._form(request)
        try:
            user = self._user(request.authorization, form)
        except WrongPasswordError:
            return document(401, {"details": "incorrect username or password"})
        names = frozenset(
            scope.split(":")[1] for scope in form.get("scope", []) if scope.count(":") >= 2
        )
        return document(200, self._token_document(user, names))

    def _token_document(self, user: str | None, names: frozenset[str]) -> Mapping[str, object]:
        now = self.clock()
        self.issued += 1
        token = f"hub-token-{self.issued:06d}"
        self._grants[token] = Grant(user, names, now + self.lifetime)
        values: dict[TokenField, object] = {
            "token": token,
            "access_token": token,
            "expires_in": int(self.lifetime),
            "issued_at": datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        return {key: value for key, value in values.items() if key in self.fields}

    def _form(self, request: Request) -> dict[str, list[str]]:
        raw = request.body.decode() if request.method == "POST" else request.raw_query
        form = parse_qs(raw)
        form["scope"] = " ".join(form.get("scope", [])).split()
        return form

    def _user(self, authorization: str | None, form: Mapping[str, list[str]]) -> str | None:
        if authorization is not None:
            name, password = basic_credentials(authorization)
        elif "password" in form:
            name, password = form.get("username", [""])[0], form["password"][0]
        else:
            return None
        if self.users.get(name) != password:
            raise WrongPasswordError
        return name

    def _basic_refusal(self, request: Request) -> Reply | None:
        refused = failure(401, "UNAUTHORIZED", "authentication required")
        challenged = refused.having(API_VERSION, *self._challenge_lines('Basic realm="Registry"'))
        if request.authorization is None:
            return challenged
        try:
            user = self._user(request.authorization, {})
        except WrongPasswordError:
            return challenged
        known = request.name in self.repositories.by_name
        if known and not self.repositories.readable(request.name, user):
            return challenged
        return None

    def _bearer_refusal(self, request: Request) -> Reply | None:
        if request.authorization is None:
            return self._unauthorized(request)
        scheme, _, token = request.authorization.partition(" ")
        grant = self._grants.get(token.strip())
        if scheme.lower() != "bearer" or grant is None or grant.expires <= self.clock():
            return self._unauthorized(request, "invalid_token")
        if not request.name:
            return None
        readable = self.repositories.readable(request.name, grant.user)
        if request.name not in grant.scopes or not readable:
            return self._unauthorized(request, "insufficient_scope")
        return None

    def _unauthorized(self, request: Request, error: str | None = None) -> Reply:
        parts = [f'realm="{self.realm}"']
        if self.service is not None:
            parts.append(f'service="{self.service}"')
        if request.name:
            parts.append(f'scope="repository:{request.name}:pull"')
        if error is not None:
            parts.append(f'error="{error}"')
        asked = {"Type": "repository", "Class": "", "Name": request.name, "Action": "pull"}
        detail = [asked] if request.name else None
        reply = failure(401, "UNAUTHORIZED", "authentication required", detail)
        return reply.having(API_VERSION, *self._challenge_lines("Bearer " + ",".join(parts)))

    def _challenge_lines(self, right: str) -> list[tuple[str, str]]:
        values = (right,) if self.challenges is None else self.challenges
        return [("WWW-Authenticate", value) for value in values]


def basic_credentials(authorization: str) -> tuple[str, str]:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise WrongPasswordError
    try:
        name, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise WrongPasswordError from None
    return name, password
