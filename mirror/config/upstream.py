"""One section of `upstreams`, and what is known in advance about well-known registries."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, SecretStr, ValidationInfo

from mirror.config.addresses import (
    is_upstream_name,
    parse_host,
    parse_upstream_name,
    parse_upstream_url,
)
from mirror.config.credentials import (
    PasswordFile,
    parse_password,
    parse_username,
    read_password_file,
)
from mirror.config.patterns import parse_references, parse_repositories
from mirror.config.quantities import parse_duration, parse_flag
from mirror.config.section import Section, read_path, reads

DOCKER_HUB = "docker.io"

Repositories: TypeAlias = tuple[Annotated[str, reads(parse_repositories)], ...]
Freshness = Annotated[timedelta, reads(parse_duration)]


@dataclass(frozen=True, slots=True)
class WellKnown:
    """Where a registry really is, and which hosts hand out its tokens."""

    url: str
    realms: tuple[str, ...]


WELL_KNOWN = {
    DOCKER_HUB: WellKnown("https://registry-1.docker.io", ("auth.docker.io",)),
    "ghcr.io": WellKnown("https://ghcr.io", ("ghcr.io",)),
    "quay.io": WellKnown("https://quay.io", ("quay.io",)),
    "public.ecr.aws": WellKnown("https://public.ecr.aws", ("public.ecr.aws",)),
    "registry.gitlab.com": WellKnown("https://registry.gitlab.com", ("gitlab.com",)),
}


def _read_password_file(value: object, info: ValidationInfo) -> PasswordFile:
    return read_password_file(read_path(value, info))


class Credentials(Section):
    """How we introduce ourselves; exactly one of `password` and `password_file` is set."""

    username: Annotated[str, reads(parse_username)]
    password: Annotated[SecretStr | None, reads(parse_password)] = None
    password_file: Annotated[PasswordFile | None, BeforeValidator(_read_password_file)] = None

    @property
    def secret(self) -> SecretStr:
        """The password, wherever it was written."""
        if self.password_file is not None:
            return self.password_file.secret
        return self.password or SecretStr("")


class FreshnessRule(Section):
    match: Annotated[str, reads(parse_references)]
    freshness: Freshness


class Upstream(Section):
    url: Annotated[str, reads(parse_upstream_url)]
    default: Annotated[bool, reads(parse_flag)] = False
    realms: tuple[Annotated[str, reads(parse_host)], ...] = ()
    credentials: Credentials | None = None
    freshness: Freshness = timedelta(minutes=5)
    freshness_rules: tuple[FreshnessRule, ...] = ()
    deleted_tags: Annotated[Literal["not_found", "keep"], reads(str.lower)] = "not_found"
    allow: Repositories = ("**",)
    deny: Repositories = ()


def default_upstreams() -> Mapping[str, Upstream]:
    hub = WELL_KNOWN[DOCKER_HUB]
    upstream = Upstream(url=hub.url, realms=hub.realms, default=True)
    return MappingProxyType({DOCKER_HUB: upstream})


def _complete(value: object) -> object:
    """What an upstream's name implies; one that stands alone is the default one."""
    if not isinstance(value, dict):
        return value
    alone = {"default": "true"} if len(value) == 1 else {}
    return {name: _with_defaults(name, item, alone) for name, item in value.items()}


def _with_defaults(name: str, item: object, alone: dict[str, str]) -> object:
    if item is not None and not isinstance(item, dict):
        return item
    # A name that is refused anyway shall not be refused a second time as a URL.
    host = name if is_upstream_name(name) else "name.invalid"
    known = WELL_KNOWN.get(name, WellKnown(f"https://{host}", ()))
    implied = {"url": known.url, "realms": list(known.realms)} | alone
    completed = dict(item or {})
    completed |= {key: part for key, part in implied.items() if completed.get(key) is None}
    return completed


Upstreams = Annotated[
    Mapping[Annotated[str, AfterValidator(parse_upstream_name)], Upstream],
    BeforeValidator(_complete),
    AfterValidator(MappingProxyType),
    PlainSerializer(dict, return_type=dict[str, Upstream]),
]
