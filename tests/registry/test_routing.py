"""Which repository a request means."""

import contextlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci.errors import Denied, NameInvalid, NameUnknown, OCIError
from mirror.oci.reference import RepositoryName
from mirror.ports.repository import Repository
from mirror.registry.glob import Glob
from mirror.registry.routing import Approach, Route, Router, UpstreamRule, upstream_route

PORT = "registry.example.com:5000"
HUB = UpstreamRule("docker.io", default=True)
OTHERS = (UpstreamRule("ghcr.io"), UpstreamRule(PORT), UpstreamRule("quay"))
LOCAL = (Glob("local/**"), Glob("team/special"))
OWN = frozenset({"mirror.example.com", "127.0.0.1:5000"})

ROUTER = Router((HUB, *OTHERS), LOCAL, OWN)
BESIDE_GHCR = Router((UpstreamRule("ghcr.io", default=True), UpstreamRule("docker.io")), LOCAL, OWN)
WITHOUT_DEFAULT = Router((UpstreamRule("docker.io"), UpstreamRule("ghcr.io")), LOCAL, OWN)

M, D = Approach.MIRROR, Approach.DIRECT


def proxied(upstream: str, name: str, approach: Approach = M) -> Route:
    return Route(Repository(upstream, RepositoryName(name)), approach)


def hosted(name: str, approach: Approach = M) -> Route:
    return Route(Repository(None, RepositoryName(name)), approach)


def falling_back(name: str, upstream: str, there: str) -> Route:
    fallback = Repository(upstream, RepositoryName(there))
    return Route(Repository(None, RepositoryName(name)), M, fallback)


@pytest.mark.parametrize(
    ("path", "namespaces", "route"),
    [
        # 1. ns
        ("library/nginx", ["docker.io"], proxied("docker.io", "library/nginx")),
        ("nginx", ["docker.io"], proxied("docker.io", "library/nginx")),
        ("a/b/c", ["docker.io"], proxied("docker.io", "a/b/c")),
        ("a", ["ghcr.io"], proxied("ghcr.io", "a")),
        ("a/b", ["GHCR.io"], proxied("ghcr.io", "a/b")),
        ("a/b", [PORT], proxied(PORT, "a/b")),
        ("local/app", ["docker.io"], proxied("docker.io", "local/app")),
        ("app", ["mirror.example.com"], hosted("app", D)),
        ("team/app", ["127.0.0.1:5000"], hosted("team/app", D)),
        ("team/app", ["Mirror.Example.com"], hosted("team/app", D)),
        # 2. the prefix
        ("docker.io/library/nginx", [], proxied("docker.io", "library/nginx", D)),
        ("docker.io/nginx", [], proxied("docker.io", "library/nginx", D)),
        ("docker.io/a/b/c", [], proxied("docker.io", "a/b/c", D)),
        ("ghcr.io/a", [], proxied("ghcr.io", "a", D)),
        ("ghcr.io/a/b", [], proxied("ghcr.io", "a/b", D)),
        ("ghcr.io/local/app", [], proxied("ghcr.io", "local/app", D)),
        (f"{PORT}/team/app", [], proxied(PORT, "team/app", D)),
        ("quay/team/app", [], proxied("quay", "team/app", D)),
        ("docker.io/library/nginx", ["docker.io"], proxied("docker.io", "library/nginx")),
        (f"{PORT}/team/app", [PORT], proxied(PORT, "team/app")),
        ("ghcr.io/docker.io/a/b", [], proxied("ghcr.io", "docker.io/a/b", D)),
        # 3. what is hosted
        ("nginx", [], falling_back("nginx", "docker.io", "library/nginx")),
        ("quay", [], falling_back("quay", "docker.io", "library/quay")),
        ("docker.io", [], falling_back("docker.io", "docker.io", "library/docker.io")),
        ("a/b/c", [], hosted("a/b/c")),
        ("other.example.com/a/b", [], hosted("other.example.com/a/b")),
        ("local/app", [], hosted("local/app")),
        ("local/a/b", [], hosted("local/a/b")),
        ("team/special", [], hosted("team/special")),
        # 4. the default
        ("library/nginx", [], proxied("docker.io", "library/nginx")),
        ("team/app", [], proxied("docker.io", "team/app")),
        ("locals/app", [], proxied("docker.io", "locals/app")),
    ],
)
def test_beside_docker_hub(path: str, namespaces: Sequence[str], route: Route) -> None:
    assert ROUTER.route(path, namespaces) == route


@pytest.mark.parametrize(
    ("path", "namespaces", "error"),
    [
        ("a/b", ["quay.io"], NameUnknown),
        ("a/b", [""], NameUnknown),
        ("a/b", ["docker.io:443"], NameUnknown),
        ("a/b", ["registry.example.com"], NameUnknown),
        ("a/b", ["docker.io", "docker.io"], NameUnknown),
        ("a/b", ["docker.io", "ghcr.io"], NameUnknown),
        ("ghcr.io/a/b", ["docker.io"], NameUnknown),
        ("docker.io/a/b", ["ghcr.io"], NameUnknown),
        ("docker.io/a/b", ["mirror.example.com"], NameUnknown),
        ("docker.io/a/b", ["unknown.example.com"], NameUnknown),
        ("", [], NameInvalid),
        ("A/b", [], NameInvalid),
        ("Docker.io/a/b", [], NameInvalid),
        ("docker.io/", [], NameInvalid),
        ("docker.io//a", [], NameInvalid),
        ("ghcr.io/A", [], NameInvalid),
        ("unknown.example.com:5000/a", [], NameInvalid),
        ("../a", [], NameInvalid),
        ("a/../b", ["docker.io"], NameInvalid),
        ("a" * 256, [], NameInvalid),
        ("a b", ["mirror.example.com"], NameInvalid),
    ],
)
def test_what_means_nothing(path: str, namespaces: Sequence[str], error: type[OCIError]) -> None:
    with pytest.raises(error):
        ROUTER.route(path, namespaces)


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("a", proxied("ghcr.io", "a")),
        ("a/b", proxied("ghcr.io", "a/b")),
        ("a/b/c", proxied("ghcr.io", "a/b/c")),
        ("local/app", hosted("local/app")),
        ("docker.io/nginx", proxied("docker.io", "library/nginx", D)),
    ],
)
def test_beside_another_registry_only_declared_names_are_hosted(path: str, route: Route) -> None:
    assert BESIDE_GHCR.route(path) == route


def test_a_declared_name_of_one_component_falls_back_to_whatever_the_default_is() -> None:
    router = Router((UpstreamRule("ghcr.io", default=True),), (Glob("app"),))
    assert router.route("app") == falling_back("app", "ghcr.io", "app")


def test_without_a_default_upstream() -> None:
    assert WITHOUT_DEFAULT.route("nginx") == hosted("nginx")
    assert WITHOUT_DEFAULT.route("a/b/c") == hosted("a/b/c")
    assert WITHOUT_DEFAULT.route("docker.io/nginx") == proxied("docker.io", "library/nginx", D)
    with pytest.raises(NameUnknown, match="no default upstream"):
        WITHOUT_DEFAULT.route("a/b")


@pytest.mark.parametrize(
    ("allow", "deny", "name", "is_permitted"),
    [
        (["**"], [], "a/b", True),
        (["library/*"], [], "library/nginx", True),
        (["library/*"], [], "a/b", False),
        (["**"], ["a/*"], "a/b", False),
        (["a/b"], ["a/*"], "a/b", False),
        (["a/b", "c/d"], [], "c/d", True),
        ([], [], "a/b", False),
    ],
)
def test_deny_comes_before_allow(
    allow: list[str], deny: list[str], name: str, *, is_permitted: bool
) -> None:
    rule = UpstreamRule("docker.io", True, tuple(map(Glob, allow)), tuple(map(Glob, deny)))
    router = Router((rule,), ())
    forms = [(name, []), (f"docker.io/{name}", []), (name, ["docker.io"])]
    for path, namespaces in forms:
        if is_permitted:
            assert router.route(path, namespaces).repository.name == RepositoryName(name)
        else:
            with pytest.raises(Denied, match=r"upstreams\.docker\.io\.allow"):
                router.route(path, namespaces)


def test_a_name_that_is_kept_out_upstream_is_still_ours() -> None:
    rule = UpstreamRule("docker.io", default=True, deny=(Glob("library/secret"),))
    route = Router((rule,), ()).route("secret")
    assert (route.repository, route.fallback) == (hosted("secret").repository, None)
    with pytest.raises(Denied, match=r"docker\.io/library/secret"):
        upstream_route(route)


def test_a_name_too_long_for_the_official_namespace_is_still_ours() -> None:
    name = "a" * 250
    assert ROUTER.route(name) == hosted(name)


def test_a_pull_goes_to_the_fallback_and_the_client_has_still_come_as_it_did() -> None:
    assert upstream_route(ROUTER.route("nginx")) == proxied("docker.io", "library/nginx")
    assert upstream_route(ROUTER.route("a/b")) == proxied("docker.io", "a/b")
    assert upstream_route(ROUTER.route("ghcr.io/a")) == proxied("ghcr.io", "a", D)


@pytest.mark.parametrize("path", ["a/b/c", "local/app"])
def test_a_hosted_name_never_consults_an_upstream(path: str) -> None:
    with pytest.raises(NameUnknown):
        upstream_route(ROUTER.route(path))


def test_a_hostile_namespace_is_quoted() -> None:
    with pytest.raises(NameUnknown) as caught:
        ROUTER.route("a/b", ["\x1b[31m\r\nevil\u202e" + "x" * 10_000])
    assert caught.value.message.isascii()
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 300


components = st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True)
names = st.lists(components, min_size=1, max_size=4).map("/".join)
anything = st.one_of(
    st.text(max_size=40),
    names,
    st.builds("{}/{}".format, st.sampled_from(["docker.io", "ghcr.io", PORT, "quay"]), names),
)
hosts = st.one_of(st.sampled_from(["docker.io", "ghcr.io", PORT, "quay", *OWN]), st.text())
routers = st.sampled_from([ROUTER, BESIDE_GHCR, WITHOUT_DEFAULT])


@given(routers, anything, st.lists(hosts, max_size=2))
def test_whatever_is_asked_is_routed_or_refused(
    router: Router, path: str, namespaces: list[str]
) -> None:
    with contextlib.suppress(NameInvalid, NameUnknown, Denied):
        upstream_route(router.route(path, namespaces))


@given(routers, st.sampled_from(["docker.io", "ghcr.io"]), names)
def test_the_prefix_and_the_parameter_mean_the_same_repository(
    router: Router, upstream: str, name: str
) -> None:
    by_prefix = router.route(f"{upstream}/{name}")
    by_namespace = router.route(name, [upstream])
    both = router.route(f"{upstream}/{name}", [upstream])
    assert by_prefix.repository == by_namespace.repository == both.repository
    assert by_prefix.repository.upstream == upstream
    assert (by_prefix.approach, by_namespace.approach) == (D, M)


@given(names)
def test_a_name_of_two_components_is_the_hubs_unless_it_was_declared(name: str) -> None:
    route = ROUTER.route(name)
    declared = any(glob.matches(name) for glob in LOCAL)
    has_prefix = name.startswith("quay/")
    if len(name.split("/")) == 2 and not declared and not has_prefix:
        assert route.repository.upstream == "docker.io"
