"""Which repository a request means: a hosted one, or one of which upstream. Pure.

The rules are tried in order: the ``ns`` parameter, an upstream's name as first component, a hosted
name, the default upstream.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from mirror.oci.errors import Denied, NameInvalid, NameUnknown, Unsupported, quoted
from mirror.oci.reference import RepositoryName, parse_repository_name
from mirror.ports.repository import Repository
from mirror.registry.glob import Glob

HUB_COMPONENTS = 2
"""Every repository of Docker Hub is named ``owner/name``."""


class Approach(Enum):
    """How the client came, which decides what it hears when the upstream will not answer.

    A ``MIRROR`` client has the origin to fall back on; a ``DIRECT`` one has only us.
    """

    MIRROR = "mirror"
    DIRECT = "direct"


@dataclass(frozen=True, slots=True)
class UpstreamRule:
    """What routing knows of an upstream. ``name`` is the ``ns`` value and the path prefix."""

    name: str
    default: bool = False
    allow: tuple[Glob, ...] = (Glob("**"),)
    deny: tuple[Glob, ...] = ()

    def permits(self, name: RepositoryName) -> bool:
        text = str(name)
        if any(glob.matches(text) for glob in self.deny):
            return False
        return any(glob.matches(text) for glob in self.allow)


@dataclass(frozen=True, slots=True)
class Route:
    """Where a request goes. ``fallback`` is asked for a pull when ``repository`` is not known.

    ``kept_out`` says why there is no fallback where the operator wants none.
    """

    repository: Repository
    approach: Approach
    fallback: Repository | None = None
    kept_out: str | None = None


def upstream_route(route: Route) -> Route:
    """The route of a pull that nothing hosted answers.

    Raises NameUnknown when it ends there, Denied when the operator wants it to.
    """
    if route.repository.upstream is not None:
        return route
    if route.kept_out is not None:
        raise Denied(route.kept_out)
    if route.fallback is None:
        raise NameUnknown(f"no repository {route.repository.name} here")
    return Route(route.fallback, route.approach)


class Router:
    """The routing table, made once from the configuration."""

    def __init__(
        self,
        upstreams: Sequence[UpstreamRule],
        hosted: Sequence[Glob],
        own_hosts: frozenset[str] = frozenset(),
    ) -> None:
        self._upstreams = {rule.name: rule for rule in upstreams}
        self._default = next((rule for rule in upstreams if rule.default), None)
        self._hosted = tuple(hosted)
        self._own_hosts = own_hosts

    def route(self, path: str, namespaces: Sequence[str] = ()) -> Route:
        """The route of the name in a URL, given every ``ns`` parameter of the query.

        Raises NameInvalid for a name outside the grammar, NameUnknown when nothing of ours
        answers to it, Denied when the operator keeps it out.
        """
        namespace = _sole(namespaces)
        prefixed = self._by_prefix(path)
        if namespace is not None:
            return self._by_namespace(namespace.lower(), path, prefixed)
        if prefixed is not None:
            return self._proxied(*prefixed, Approach.DIRECT)
        return self._bare(parse_repository_name(path))

    def hosted(
        self, path: str, namespaces: Sequence[str] = (), *, deleting: bool = False
    ) -> Repository:
        """The hosted repository that a change of content is for.

        Raises NameInvalid and NameUnknown as ``route`` does, Unsupported for what is proxied, and
        Denied for a name that the operator would have to declare first.
        """
        namespace = _sole(namespaces)
        prefixed = self._by_prefix(path)
        if namespace is not None:
            route = self._by_namespace(namespace.lower(), path, prefixed)
            if route.repository.upstream is not None:
                raise _not_hosted(route.repository)
            return route.repository
        if prefixed is not None:
            raise _not_hosted(self._proxied(*prefixed, Approach.DIRECT).repository)
        name = parse_repository_name(path)
        if not self.is_hosted(name):
            # What can be there to be deleted came from the upstream.
            raise (
                _not_hosted(self._bare(name).repository) if deleting else Denied(self._advice(name))
            )
        return Repository(None, name)

    def _advice(self, name: RepositoryName) -> str:
        owner = name.components[0]
        pattern = f"{owner}/**" if len(name.components) > 1 else owner
        declared = json.dumps([*(glob.text for glob in self._hosted), pattern])
        return (
            f"{name} belongs to {self._default.name if self._default else 'no upstream'}; to host"
            f" it here, write in mirror.yaml: hosted: {{namespaces: {declared}}}"
        )

    def is_hosted(self, name: RepositoryName) -> bool:
        """Whether an unprefixed name belongs to this registry rather than to an upstream."""
        if any(glob.matches(str(name)) for glob in self._hosted):
            return True
        # Beside Docker Hub, names of another shape are free to be ours. Beside any other registry
        # every name may exist upstream, and only declared namespaces are hosted.
        hub = self._default is None or self._default.name == "docker.io"
        return hub and len(name.components) != HUB_COMPONENTS

    def _by_namespace(
        self, namespace: str, path: str, prefixed: tuple[UpstreamRule, str] | None
    ) -> Route:
        if prefixed is not None and prefixed[0].name != namespace:
            raise NameUnknown("the ns parameter and the path name different registries")
        if prefixed is not None:
            return self._proxied(*prefixed, Approach.MIRROR)
        if namespace in self._own_hosts:
            return Route(Repository(None, parse_repository_name(path)), Approach.DIRECT)
        rule = self._upstreams.get(namespace)
        if rule is None:
            raise NameUnknown(f"this mirror has no upstream named {quoted(namespace)}")
        return self._proxied(rule, path, Approach.MIRROR)

    def _by_prefix(self, path: str) -> tuple[UpstreamRule, str] | None:
        # Before the grammar: the prefix may be host:port, which no repository name may hold.
        first, _, rest = path.partition("/")
        rule = self._upstreams.get(first)
        return (rule, rest) if rule is not None and rest else None

    def _bare(self, name: RepositoryName) -> Route:
        if self.is_hosted(name):
            return self._hosted_route(name)
        if self._default is None:
            raise NameUnknown("this mirror has no default upstream; name one in the path")
        return self._proxied(self._default, str(name), Approach.MIRROR)

    def _hosted_route(self, name: RepositoryName) -> Route:
        """What keeps a name out of the upstream does not keep it out of here."""
        hosted = Route(Repository(None, name), Approach.MIRROR)
        if len(name.components) > 1 or self._default is None:
            return hosted
        try:
            proxied = self._proxied(self._default, str(name), Approach.MIRROR)
        except Denied as denied:
            return replace(hosted, kept_out=denied.message)
        except NameInvalid:
            return hosted
        return replace(hosted, fallback=proxied.repository)

    def _proxied(self, rule: UpstreamRule, rest: str, approach: Approach) -> Route:
        name = parse_repository_name(rest)
        if rule.name == "docker.io" and len(name.components) == 1:
            name = parse_repository_name(f"library/{rest}")
        if not rule.permits(name):
            raise Denied(f"{rule.name}/{name} is kept out by upstreams.{rule.name}.allow or deny")
        return Route(Repository(rule.name, name), approach)


def _not_hosted(repository: Repository) -> Unsupported:
    return Unsupported(
        f"{repository} is a copy of another registry's and can only be pulled: change it there, or"
        " push to a name that is hosted here"
    )


def _sole(namespaces: Sequence[str]) -> str | None:
    if len(namespaces) > 1:
        raise NameUnknown("the ns parameter was given more than once")
    return namespaces[0] if namespaces else None
