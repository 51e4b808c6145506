"""Rules about several keys at once, checked on the document so that they are told together with
everything else. What a single key may hold is not looked at here: what is malformed is skipped.
"""

from collections.abc import Iterator
from datetime import timedelta

from mirror.config.addresses import is_plain_http_over_network, parse_upstream_url
from mirror.config.document import Entry, Listing, Node, Scalar, Table
from mirror.config.model import Hosted
from mirror.config.problems import KeyPath, Place, Problem, dotted, shown
from mirror.config.quantities import parse_flag, parse_wait
from mirror.config.upstream import DOCKER_HUB
from mirror.config.webhook import host_of, parse_webhook_url

_PATTERNS = ("allow", "deny")
_MOST_LISTED = 5


def contradictions(document: Table) -> Iterator[Problem]:
    upstreams = _entry(document, "upstreams")
    if upstreams and isinstance(upstreams.node, Table):
        yield from _other_than_one_default(upstreams.key_place, upstreams.node)
        for name, entry in upstreams.node.entries.items():
            yield from _credentials(name, entry.node)
            yield from _patterns_with_own_name(name, entry.node)
    yield from _shadowed_namespaces(document)
    yield from _short_grace(_child(document, "hosted"))
    yield from _webhooks(_child(document, "webhooks"))


def _other_than_one_default(place: Place, upstreams: Table) -> Iterator[Problem]:
    flags = {name: _default_flag(entry.node) for name, entry in upstreams.entries.items()}
    defaults = [name for name, flag in flags.items() if flag]
    if not flags:
        yield _problem(place, ("upstreams",), "at least one upstream must be named here")
    elif len(defaults) > 1:
        last = defaults[-1]
        node = _child(upstreams.entries[last].node, "default")
        message = f"{_listed(defaults)} each say default: true: only one of them can"
        yield _problem(node.place if node else place, ("upstreams", last, "default"), message)
    elif not defaults and None not in flags.values() and not _one_without_flag(upstreams):
        message = f"none of {_listed(list(flags))} is the default: write default: true under one"
        yield _problem(place, ("upstreams",), message)


def _one_without_flag(upstreams: Table) -> bool:
    entries = list(upstreams.entries.values())
    return len(entries) == 1 and _child(entries[0].node, "default") is None


def _default_flag(upstream: Node) -> bool | None:
    """Whether it is marked as the default one; None when that cannot be told."""
    node = _child(upstream, "default")
    if node is None:
        return False if _is_section(upstream) else None
    try:
        return parse_flag(node.text or "") if isinstance(node, Scalar) else None
    except ValueError:
        return None


def _credentials(name: str, upstream: Node) -> Iterator[Problem]:
    path = ("upstreams", name, "credentials")
    entry = _entry(upstream, "credentials")
    if entry is None:
        return
    password, file = _entry(entry.node, "password"), _entry(entry.node, "password_file")
    if password and file:
        message = "password is given as well: keep one of the two"
        yield _problem(file.key_place, (*path, "password_file"), message)
    elif isinstance(entry.node, Table) and not password and not file:
        message = "a password is missing: add password_file (a path) or password"
        yield _problem(entry.key_place, path, message)
    url = _child(upstream, "url")
    if isinstance(url, Scalar) and _is_readable_on_the_way(url.text or ""):
        message = "the credentials would be sent unencrypted: use https, or remove the credentials"
        yield _problem(url.place, ("upstreams", name, "url"), message)


def _is_readable_on_the_way(url: str) -> bool:
    try:
        return is_plain_http_over_network(parse_upstream_url(url))
    except ValueError:
        return False


def _patterns_with_own_name(name: str, upstream: Node) -> Iterator[Problem]:
    for key in _PATTERNS:
        for index, pattern in _texts(_child(upstream, key)):
            if pattern.text and pattern.text.startswith(f"{name}/"):
                message = f"matches nothing: leave out {name}/, patterns begin after it"
                yield _problem(pattern.place, ("upstreams", name, key, index), message)


def _shadowed_namespaces(document: Table) -> Iterator[Problem]:
    upstreams = _child(document, "upstreams")
    named = upstreams.entries if isinstance(upstreams, Table) else {}
    namespaces = _child(_child(document, "hosted"), "namespaces")
    for index, pattern in _texts(namespaces):
        first = _first_component(pattern.text or "")
        if first in named or (upstreams is None and first == DOCKER_HUB):
            message = f"{first} is an upstream: nothing can be hosted below it, choose another name"
            yield _problem(pattern.place, ("hosted", "namespaces", index), message)
    if namespaces is None:
        for standard in Hosted().namespaces:
            first = _first_component(standard)
            if first in named:
                message = (
                    f"hosted.namespaces has {standard}: name the upstream differently, or set it"
                )
                yield _problem(named[first].key_place, ("upstreams", first), message)


def _webhooks(webhooks: Node | None) -> Iterator[Problem]:
    named: set[str] = set()
    for index, webhook in enumerate(webhooks.items if isinstance(webhooks, Listing) else ()):
        yield from _webhook_secret(("webhooks", index), webhook)
        label = _webhook_label(webhook)
        if label in named:
            message = f"another webhook is called {shown(label)} too: give each a name of its own"
            yield _problem(webhook.place, ("webhooks", index), message)
        named |= {label} - {""}


def _webhook_secret(path: KeyPath, webhook: Node) -> Iterator[Problem]:
    secret, file = _entry(webhook, "secret"), _entry(webhook, "secret_file")
    if secret and file:
        message = "secret is given as well: keep one of the two"
        yield _problem(file.key_place, (*path, "secret_file"), message)
    elif isinstance(webhook, Table) and not secret and not file:
        message = "a secret is missing: add secret_file (a path) or secret"
        yield _problem(webhook.place, path, message)


def _webhook_label(webhook: Node) -> str:
    """What it is called; empty where that cannot be told."""
    name, url = _child(webhook, "name"), _child(webhook, "url")
    if isinstance(name, Scalar):
        return name.text or ""
    try:
        parsed = parse_webhook_url(url.text or "") if isinstance(url, Scalar) else None
    except ValueError:
        return ""
    return host_of(parsed.get_secret_value()) if parsed else ""


def _short_grace(hosted: Node | None) -> Iterator[Problem]:
    grace, expiry = _child(_child(hosted, "gc"), "grace"), _child(hosted, "upload_expiry")
    standard = Hosted()
    longest = _wait(expiry, standard.upload_expiry)
    span = _wait(grace, standard.gc.grace)
    if longest is None or span is None or span > longest:
        return
    if grace is not None:
        message = "must be longer than hosted.upload_expiry, as long as a push may take"
        yield _problem(grace.place, ("hosted", "gc", "grace"), message)
    elif expiry is not None:
        message = "must be shorter than hosted.gc.grace, which protects what was pushed: set that"
        yield _problem(expiry.place, ("hosted", "upload_expiry"), message)


def _wait(node: Node | None, standard: timedelta) -> timedelta | None:
    """None when it cannot be read."""
    if node is None:
        return standard
    try:
        return parse_wait(node.text or "") if isinstance(node, Scalar) else None
    except ValueError:
        return None


def _first_component(pattern: str) -> str:
    return pattern.partition("/")[0]


def _entry(node: Node | None, key: str) -> Entry | None:
    """The key with a value behind it, or None: no such key, nothing behind it, not a mapping."""
    if not isinstance(node, Table):
        return None
    entry = node.entries.get(key)
    return entry if entry and not _is_empty(entry.node) else None


def _child(node: Node | None, key: str) -> Node | None:
    entry = _entry(node, key)
    return entry.node if entry else None


def _texts(node: Node | None) -> Iterator[tuple[int, Scalar]]:
    if isinstance(node, Listing):
        for index, item in enumerate(node.items):
            if isinstance(item, Scalar):
                yield index, item


def _is_section(node: Node) -> bool:
    return isinstance(node, Table) or _is_empty(node)


def _is_empty(node: Node) -> bool:
    return isinstance(node, Scalar) and node.text is None


def _listed(names: list[str]) -> str:
    shown = names if len(names) <= _MOST_LISTED else [*names[:_MOST_LISTED], "others"]
    *first, last = (dotted((name,)) for name in shown)
    return f"{', '.join(first)} and {last}" if first else last


def _problem(place: Place, path: KeyPath, message: str) -> Problem:
    return Problem(place, dotted(path), message)
