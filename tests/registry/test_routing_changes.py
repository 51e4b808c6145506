"""Which repository a push or a deletion is for, and what the others hear."""

from collections.abc import Sequence

import pytest

from mirror.oci.errors import Denied, NameInvalid, NameUnknown, OCIError, Unsupported
from mirror.oci.reference import RepositoryName
from mirror.ports.repository import Repository
from mirror.registry.glob import Glob
from mirror.registry.routing import Router, UpstreamRule

HUB = UpstreamRule("docker.io", default=True)
OWN = frozenset({"mirror.example.com"})
LOCAL = (Glob("local/**"),)

ROUTER = Router((HUB, UpstreamRule("ghcr.io")), LOCAL, OWN)
BESIDE_GHCR = Router((UpstreamRule("ghcr.io", default=True),), LOCAL, OWN)

PROXIED = ["docker.io/library/nginx", "ghcr.io/a", "ghcr.io/local/app"]
UNDECLARED = ["library/nginx", "some/thing"]


@pytest.mark.parametrize(
    ("name", "namespaces"),
    [
        ("nginx", []),
        ("a/b/c", []),
        ("local/app", []),
        ("some/thing", ["mirror.example.com"]),
        ("some/thing", ["MIRROR.example.com"]),
    ],
)
@pytest.mark.parametrize("deleting", [False, True])
def test_what_is_hosted(name: str, namespaces: Sequence[str], *, deleting: bool) -> None:
    repository = ROUTER.hosted(name, namespaces, deleting=deleting)
    assert repository == Repository(None, RepositoryName(name))


@pytest.mark.parametrize("name", UNDECLARED)
def test_a_name_of_two_components_has_to_be_declared(name: str) -> None:
    owner = name.partition("/")[0]
    with pytest.raises(Denied) as refused:
        ROUTER.hosted(name)
    assert f'hosted: {{namespaces: ["local/**", "{owner}/**"]}}' in refused.value.message
    declared = Router((HUB,), (*LOCAL, Glob(f"{owner}/**")), OWN)
    assert declared.hosted(name) == Repository(None, RepositoryName(name))


@pytest.mark.parametrize("name", ["nginx", "a/b/c"])
def test_beside_another_registry_every_name_has_to_be_declared(name: str) -> None:
    with pytest.raises(Denied, match=r"ghcr\.io"):
        BESIDE_GHCR.hosted(name)


@pytest.mark.parametrize("name", PROXIED)
@pytest.mark.parametrize("deleting", [False, True])
def test_what_is_proxied_cannot_be_changed(name: str, *, deleting: bool) -> None:
    with pytest.raises(Unsupported):
        ROUTER.hosted(name, deleting=deleting)


@pytest.mark.parametrize("name", UNDECLARED)
def test_what_came_from_the_default_upstream_cannot_be_deleted(name: str) -> None:
    with pytest.raises(Unsupported):
        ROUTER.hosted(name, deleting=True)


@pytest.mark.parametrize(
    ("name", "namespaces", "error"),
    [
        ("library/nginx", ["docker.io"], Unsupported),
        ("local/app", ["ghcr.io"], Unsupported),
        ("local/app", ["elsewhere.example"], NameUnknown),
        ("local/app", ["docker.io", "docker.io"], NameUnknown),
        ("docker.io/a/b", ["ghcr.io"], NameUnknown),
        ("UPPER", [], NameInvalid),
        ("local//app", [], NameInvalid),
    ],
)
@pytest.mark.parametrize("deleting", [False, True])
def test_what_names_nothing_of_ours(
    name: str, namespaces: Sequence[str], error: type[OCIError], *, deleting: bool
) -> None:
    with pytest.raises(error):
        ROUTER.hosted(name, namespaces, deleting=deleting)
