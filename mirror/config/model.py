"""The keys of `mirror.yaml`, their types and their defaults, as frozen values.

Only rules about one key at a time live here; `contradictions` has those about several, and
`upstream` has the section that is repeated under a name of its own.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationInfo

from mirror.config.addresses import ListenAddress, parse_listen, parse_network, parse_public_url
from mirror.config.patterns import parse_references, parse_repositories
from mirror.config.problems import shown
from mirror.config.quantities import (
    parse_capacity,
    parse_duration,
    parse_flag,
    parse_percent,
    parse_schedule,
    parse_size,
    parse_wait,
)
from mirror.config.section import Section, read_path, reads
from mirror.config.upstream import Upstream, Upstreams, default_upstreams
from mirror.config.webhook import Webhook

Wait = Annotated[timedelta, reads(parse_wait)]


def _read_data(value: object, info: ValidationInfo) -> Path:
    return read_path(value, info)


def _refuse_tls(value: object) -> None:
    if value is not None:
        raise ValueError(
            "mirror does not serve TLS itself: leave this null, put a TLS proxy in front and"
            " write its address as public_url"
        )


class Cache(Section):
    """Proxied content. Sizes are bytes."""

    max_size: Annotated[int, reads(parse_capacity)] = 50 * 1024**3
    min_free: Annotated[int, reads(parse_size)] = 2 * 1024**3
    low_watermark: Annotated[float, reads(parse_percent)] = 95.0

    @property
    def low_size(self) -> int:
        """Bytes that eviction goes down to once `max_size` is passed."""
        return int(self.max_size * self.low_watermark / 100)


class GarbageCollection(Section):
    """Of what was pushed and is not needed any more. Nothing is collected by itself when `every`
    is None.
    """

    grace: Wait = timedelta(hours=48)
    every: Annotated[timedelta | None, reads(parse_schedule)] = timedelta(hours=24)


class Hosted(Section):
    namespaces: tuple[Annotated[str, reads(parse_repositories)], ...] = ("local/**",)
    immutable_tags: tuple[Annotated[str, reads(parse_references)], ...] = ()
    upload_expiry: Wait = timedelta(hours=24)
    gc: GarbageCollection = GarbageCollection()


class Auth(Section):
    trusted_networks: tuple[Annotated[IPv4Network | IPv6Network, reads(parse_network)], ...] = (
        ip_network("127.0.0.0/8"),
        ip_network("::1"),
    )


class Timeouts(Section):
    """How long anything waits for anything."""

    connect: Wait = timedelta(seconds=5)
    headers: Wait = timedelta(seconds=10)
    progress: Wait = timedelta(seconds=30)
    stale_after: Wait = timedelta(seconds=1.5)
    write: Wait = timedelta(seconds=60)
    keepalive: Wait = timedelta(seconds=75)
    drain: Annotated[timedelta, reads(parse_duration)] = timedelta(seconds=30)


class Log(Section):
    format: Annotated[Literal["auto", "text", "json"], reads(str.lower)] = "auto"
    level: Annotated[Literal["debug", "info", "warning", "error"], reads(str.lower)] = "info"


class Config(Section):
    """Everything an operator can set. `data` is absolute; nothing is ever shown of a secret."""

    listen: Annotated[ListenAddress, reads(parse_listen)] = ListenAddress("127.0.0.1", 5000)
    public_url: Annotated[str | None, reads(parse_public_url)] = None
    data: Annotated[Path, BeforeValidator(_read_data)] = Field(
        default=Path("data"), validate_default=True
    )
    offline: Annotated[bool, reads(parse_flag)] = False
    cache: Cache = Cache()
    upstreams: Upstreams = Field(default_factory=default_upstreams)
    hosted: Hosted = Hosted()
    auth: Auth = Auth()
    webhooks: tuple[Webhook, ...] = ()
    timeouts: Timeouts = Timeouts()
    log: Log = Log()
    tls: Annotated[None, BeforeValidator(_refuse_tls)] = None

    @property
    def default_upstream(self) -> str:
        """The name of the one upstream that unprefixed names belong to."""
        return next(name for name, upstream in self.upstreams.items() if upstream.default)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is allowed and probably not meant, one sentence each."""
        return (
            *_exposed_passwords(self.upstreams),
            *_exposed_webhooks(self.webhooks),
            *_boundless_trust(self.auth),
        )


def _exposed_passwords(upstreams: Mapping[str, Upstream]) -> Iterator[str]:
    for name, upstream in upstreams.items():
        file = upstream.credentials and upstream.credentials.password_file
        if file and file.readable_by_everyone:
            yield (
                f"upstreams.{name}.credentials.password_file: every user of this machine can read"
                f" {shown(str(file.path))}: chmod 600 it"
            )


def _exposed_webhooks(webhooks: Sequence[Webhook]) -> Iterator[str]:
    for index, webhook in enumerate(webhooks):
        file = webhook.secret_file
        if file and file.readable_by_everyone:
            yield (
                f"webhooks.{index}.secret_file: every user of this machine can read"
                f" {shown(str(file.path))}: chmod 600 it"
            )
        if webhook.shows_headers:
            yield f"webhooks.{index}.headers: they are sent unencrypted: use https"


def _boundless_trust(auth: Auth) -> Iterator[str]:
    for network in auth.trusted_networks:
        if not network.prefixlen:
            yield (
                f"auth.trusted_networks: {network} is everyone: all who reach this server may"
                " push, delete and administer without a login"
            )
