"""Puts together what asks one registry. Each part knows only the ones it is given."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version

from yarl import URL

from mirror.ports.clock import Clock
from mirror.upstream.authorised import Authorised, Ping
from mirror.upstream.bearer import Bearer
from mirror.upstream.breaker import Breaker
from mirror.upstream.connection import Connection
from mirror.upstream.guard import Guard
from mirror.upstream.login import Login
from mirror.upstream.origin import origin_of, parse_remote_url
from mirror.upstream.quota import parse_quota
from mirror.upstream.realm import RealmPolicy
from mirror.upstream.redirect import Introduction, Redirects
from mirror.upstream.resolver import Lookup, Resolver
from mirror.upstream.retry import Pauses, Retrying
from mirror.upstream.settings import UpstreamSettings
from mirror.upstream.tally import Tally
from mirror.upstream.token_endpoint import TokenEndpoint
from mirror.upstream.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Parts:
    """``base`` is the address of the registry up to and with ``/v2/``."""

    base: str
    connection: Connection
    registry: Retrying
    bearer: Bearer
    breaker: Breaker
    login: Login
    verdict: Verdict
    tally: Tally


def assemble(settings: UpstreamSettings, clock: Clock, pauses: Pauses, lookup: Lookup) -> Parts:
    """Opens nothing. Raises ValueError for settings that make no sense."""
    name, credential = settings.name, settings.credential
    base = _base_url(settings.url)
    origin = origin_of(base)
    secrets = credential.secrets if credential else ()
    policy = RealmPolicy(name, origin, settings.realms, secrets)
    introduction = _introduce(settings.instance)
    guard = Guard(policy.hosts)
    tally, breaker, login = Tally(), Breaker(clock), Login(name, credential, clock)
    connection = Connection(settings, guard, Resolver(guard, clock, lookup), tally)
    verdict = Verdict(name, connection, clock, secrets)
    redirects = Redirects(
        name, origin, connection, introduction, _observer(breaker, clock), secrets
    )
    endpoint = TokenEndpoint(connection, verdict, login, clock, tally, introduction.user_agent)
    bearer = Bearer(policy, endpoint, login, Ping(base, redirects, verdict), clock)
    registry = Retrying(
        Authorised(redirects, bearer, verdict), verdict, breaker, tally, clock, pauses
    )
    return Parts(str(base), connection, registry, bearer, breaker, login, verdict, tally)


def _base_url(text: str) -> URL:
    url = parse_remote_url(f"{text.rstrip('/')}/v2/")
    if url is None or "?" in text or "#" in text:
        raise ValueError(f"{text!r} is not the address of a registry")
    return url


def _introduce(instance: str | None) -> Introduction:
    via = None if instance is None else f"1.1 mirror-{instance}"
    return Introduction(f"mirror/{version('mirror')}", via)


def _observer(breaker: Breaker, clock: Clock) -> Callable[[Mapping[str, str]], None]:
    def observe(headers: Mapping[str, str]) -> None:
        quota = parse_quota(headers, clock.now())
        if quota is not None:
            breaker.observe(quota)

    return observe
