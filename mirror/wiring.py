"""From configuration to the plain values that use cases and adapters take."""

from urllib.parse import urlsplit

from mirror.config import Config
from mirror.config.upstream import Upstream as UpstreamConfig
from mirror.ports.clock import Clock
from mirror.registry.freshness import FreshnessPolicy, FreshnessRule
from mirror.registry.glob import Glob
from mirror.registry.immutable import ImmutableTags
from mirror.registry.proxied import DeletedTags, ProxiedRegistries, ProxiedRegistry
from mirror.registry.routing import Router, UpstreamRule
from mirror.upstream.client import HttpUpstream
from mirror.upstream.credentials import Credential
from mirror.upstream.settings import Timeouts, UpstreamSettings


class UnusableUpstream(Exception):
    """An upstream is described so that it cannot be asked; the message says how and what to do."""


def make_router(config: Config) -> Router:
    rules = [
        UpstreamRule(name, upstream.default, _globs(upstream.allow), _globs(upstream.deny))
        for name, upstream in config.upstreams.items()
    ]
    own = urlsplit(config.public_url).netloc.lower() if config.public_url else ""
    return Router(rules, _globs(config.hosted.namespaces), frozenset({own} - {""}))


def make_immutable_tags(config: Config) -> ImmutableTags:
    return ImmutableTags(_globs(config.hosted.immutable_tags))


def make_registries(config: Config, clock: Clock, instance: str) -> ProxiedRegistries:
    """Opens nothing. Raises UnusableUpstream."""
    registries = {
        name: _registry(name, upstream, config, clock, instance)
        for name, upstream in config.upstreams.items()
    }
    return ProxiedRegistries(registries, config.offline)


def _registry(
    name: str, upstream: UpstreamConfig, config: Config, clock: Clock, instance: str
) -> ProxiedRegistry:
    try:
        client = HttpUpstream(_settings(name, upstream, config, instance), clock)
    except ValueError as error:
        raise UnusableUpstream(
            f"upstreams.{name}: {error}; write its url like https://registry.example or "
            "https://registry.example:5000, and its realms without a scheme"
        ) from error
    rules = [FreshnessRule(Glob(rule.match), rule.freshness) for rule in upstream.freshness_rules]
    return ProxiedRegistry(
        name,
        client,
        FreshnessPolicy(upstream.freshness, rules),
        DeletedTags(upstream.deleted_tags),
    )


def _settings(
    name: str, upstream: UpstreamConfig, config: Config, instance: str
) -> UpstreamSettings:
    credential = None
    if upstream.credentials is not None:
        secret = upstream.credentials.secret.get_secret_value()
        credential = Credential(upstream.credentials.username, secret)
    timeouts = Timeouts(
        config.timeouts.connect.total_seconds(),
        config.timeouts.headers.total_seconds(),
        config.timeouts.progress.total_seconds(),
    )
    return UpstreamSettings(name, upstream.url, upstream.realms, credential, timeouts, instance)


def _globs(patterns: tuple[str, ...]) -> tuple[Glob, ...]:
    return tuple(Glob(pattern) for pattern in patterns)
