"""``mirror check-config``."""

import os
from collections.abc import Iterator
from pathlib import Path

import click

from mirror.cli.failure import Misconfigured
from mirror.cli.options import find_config
from mirror.cli.sizes import format_size
from mirror.cli.tables import cell, make_console, make_list, show
from mirror.cli.terminal import echo_json, safe
from mirror.config import Config, ConfigError, Upstream, Webhook, load_config


def report_config(path: Path | None, *, as_json: bool) -> None:
    """Raises Misconfigured with every problem."""
    found = find_config(path)
    try:
        config = load_config(found, os.environ)
    except ConfigError as error:
        if as_json:
            echo_json(_problems_document(error))
            raise click.exceptions.Exit(Misconfigured.exit_code) from error
        raise Misconfigured([str(problem) for problem in error.problems]) from error
    if as_json:
        echo_json(_config_document(config))
    else:
        _show(found, config)


def _show(path: Path | None, config: Config) -> None:
    verdict = "there is no mirror.yaml here; the defaults are valid"
    click.echo(verdict if path is None else f"{safe(str(path))} is valid")
    rows = make_list()
    for title, text in _summary(config):
        rows.add_row(title, cell(text))
    show(make_console(), rows)
    for warning in config.warnings:
        click.echo(f"warning: {safe(warning)}", err=True)


def _summary(config: Config) -> Iterator[tuple[str, str]]:
    yield "listen", str(config.listen)
    if config.public_url is not None:
        yield "public_url", config.public_url
    yield "data", str(config.data)
    max_size, min_free = format_size(config.cache.max_size), format_size(config.cache.min_free)
    yield "cache", f"at most {max_size}; {min_free} of the file system stay free"
    if config.offline:
        yield "offline", "no upstream is contacted"
    for name, upstream in config.upstreams.items():
        yield "upstream", _upstream(name, upstream)
    yield "hosted", ", ".join(config.hosted.namespaces) or "nothing"
    for webhook in config.webhooks:
        yield "webhook", _webhook(webhook)
    networks = ", ".join(str(network) for network in config.auth.trusted_networks)
    yield "trusted", networks or "nobody"


def _upstream(name: str, upstream: Upstream) -> str:
    login = f" as {upstream.credentials.username}" if upstream.credentials else ""
    return f"{name}{' (default)' if upstream.default else ''} at {upstream.url}{login}"


def _webhook(webhook: Webhook) -> str:
    """Its address may hold a token."""
    events, repositories = ", ".join(webhook.events), ", ".join(webhook.repositories)
    return f"{webhook.label} hears of {events} in {repositories}"


def _config_document(config: Config) -> dict[str, object]:
    return {
        "valid": True,
        "listen": str(config.listen),
        "public_url": config.public_url,
        "data": str(config.data),
        "offline": config.offline,
        "max_bytes": config.cache.max_size,
        "min_free_bytes": config.cache.min_free,
        "upstreams": {
            name: {"url": upstream.url, "default": upstream.default}
            for name, upstream in config.upstreams.items()
        },
        "webhooks": [
            {
                "name": webhook.label,
                "events": list(webhook.events),
                "repositories": list(webhook.repositories),
            }
            for webhook in config.webhooks
        ],
        "trusted_networks": [str(network) for network in config.auth.trusted_networks],
        "warnings": list(config.warnings),
    }


def _problems_document(error: ConfigError) -> dict[str, object]:
    problems = [
        {
            "source": problem.place.source,
            "line": problem.place.line,
            "column": problem.place.column,
            "key": problem.key,
            "message": problem.message,
        }
        for problem in error.problems
    ]
    return {"valid": False, "problems": problems}
