"""Challenges: https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci.challenge import (
    Challenge,
    Scope,
    format_bearer_challenge,
    parse_challenges,
    parse_scope,
    pull_scope,
)
from mirror.oci.reference import RepositoryName
from tests.oci.budget import cpu_budget

HUB = (
    'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",'
    'scope="repository:library/nginx:pull"'
)
TOKEN = st.text("abcXYZ019!#$%&'*+.^_`|~-", min_size=1, max_size=12)
VALUE = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=40)


def challenge(scheme: str, **parameters: str) -> Challenge:
    return Challenge(scheme, tuple(parameters.items()))


NGINX = challenge(
    "bearer",
    realm="https://auth.docker.io/token",
    service="registry.docker.io",
    scope="repository:library/nginx:pull",
)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], []),
        ([""], []),
        ([HUB], [NGINX]),
        ([HUB.replace("Bearer", "bEARER").replace("realm", "REALM")], [NGINX]),
        ([HUB.replace(",", " ,\t ")], [NGINX]),
        ([HUB.replace(",", " ")], [NGINX]),
        ([HUB.replace("=", " = ")], [NGINX]),
        (["  " + HUB + " , "], [NGINX]),
        ([HUB.replace('"', "")], [NGINX]),
        (["Basic realm=x", HUB], [challenge("basic", realm="x"), NGINX]),
        ([f"Basic realm=x, {HUB}"], [challenge("basic", realm="x"), NGINX]),
        ([f"{HUB}, Basic realm=x"], [NGINX, challenge("basic", realm="x")]),
        ([f"Negotiate, {HUB}"], [challenge("negotiate"), NGINX]),
        ([f"Negotiate YWJj=, {HUB}"], [challenge("negotiate"), NGINX]),
        ([f"NTLM TlRMTVNTUAACAA==,{HUB}"], [challenge("ntlm"), NGINX]),
        (["Negotiate", "Basic"], [challenge("negotiate"), challenge("basic")]),
        (
            ['Bearer realm="r",scope="repository:a:pull,push"'],
            [challenge("bearer", realm="r", scope="repository:a:pull,push")],
        ),
        (['Bearer realm="a\\"b\\\\c"'], [challenge("bearer", realm='a"b\\c')]),
        (['Bearer realm="a, Basic realm=b"'], [challenge("bearer", realm="a, Basic realm=b")]),
        (['Bearer realm="r"'], [challenge("bearer", realm="r")]),
        (['Bearer realm="r",service=""'], [challenge("bearer", realm="r", service="")]),
        (["Bearer realm=r,service="], [challenge("bearer", realm="r", service="")]),
        (
            ["Bearer realm=https://h/t?a=b&c=d,service=s"],
            [challenge("bearer", realm="https://h/t?a=b&c=d", service="s")],
        ),
        (
            ['Bearer realm="r",error="insufficient_scope",error_description="no, really"'],
            [
                challenge(
                    "bearer", realm="r", error="insufficient_scope", error_description="no, really"
                )
            ],
        ),
        (["Bearer"], [challenge("bearer")]),
        (["=,;@@@"], []),
        ([f"@@@ ???, {HUB}"], [NGINX]),
        ([HUB + ', "stray"'], [NGINX]),
        ([HUB + ", broken"], [NGINX, challenge("broken")]),
        (['Bearer realm="never closed', HUB], [challenge("bearer"), NGINX]),
        (['Bearer realm="r\\'], [challenge("bearer")]),
        (["realm=x"], []),
        (["Bearer réalm=x, Basic realm=y"], [challenge("bearer"), challenge("basic", realm="y")]),
    ],
)
def test_challenges_as_registries_write_them(headers: list[str], expected: list[Challenge]) -> None:
    assert parse_challenges(headers) == tuple(expected)


def test_parameters_are_found_in_any_case_and_the_first_one_counts() -> None:
    (found,) = parse_challenges(["Bearer Realm=a, realm=b"])

    assert found.get("REALM") == "a"
    assert found.get("service") is None


@given(st.lists(st.tuples(TOKEN, st.lists(st.tuples(TOKEN, VALUE), min_size=1)), max_size=4))
def test_what_is_written_by_the_rules_is_read(
    challenges: list[tuple[str, list[tuple[str, str]]]],
) -> None:
    def quote(value: str) -> str:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

    line = ", ".join(
        f"{scheme} " + ",".join(f"{name}={quote(value)}" for name, value in parameters)
        for scheme, parameters in challenges
    )

    assert parse_challenges([line]) == tuple(
        Challenge(scheme.lower(), tuple((name.lower(), value) for name, value in parameters))
        for scheme, parameters in challenges
    )


@given(st.lists(st.text('Basic realm="\\, =\n\x00é') | st.text()))
def test_any_text_is_read_without_failing(headers: list[str]) -> None:
    assert isinstance(parse_challenges(headers), tuple)


@pytest.mark.parametrize(
    "piece", ['a="', "a=", "a,", "a ", '\\"', '"', "a=b,", "=", "@,", "A b==,", 'a="\\",', 'a=b"']
)
def test_hostile_challenges_are_read_in_linear_time(piece: str) -> None:
    with cpu_budget(1):
        for _ in range(10):
            parse_challenges(["Bearer " + piece * (8000 // len(piece))])
        parse_challenges(["Bearer " + piece * 1_000_000])


def test_a_line_beyond_the_limit_is_skipped_and_the_others_count() -> None:
    longest = "Basic realm=" + "x" * (8192 - 12)

    assert len(parse_challenges([longest, longest + "x", HUB])) == 2


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        ("repository:library/nginx:pull", Scope("repository", "library/nginx", ("pull",))),
        ("repository:a/b:pull,push", Scope("repository", "a/b", ("pull", "push"))),
        ("repository:a:pull,pull,push", Scope("repository", "a", ("pull", "push"))),
        ("repository:host:5000/a:pull", Scope("repository", "host:5000/a", ("pull",))),
        ("repository:[::1]:5000/a:pull", Scope("repository", "[::1]:5000/a", ("pull",))),
        ("repository(plugin):a/b:pull", Scope("repository", "a/b", ("pull",), "plugin")),
        ("registry:catalog:*", Scope("registry", "catalog", ("*",))),
        ("repository:a:", Scope("repository", "a", ())),
        ("unknown:a:pull", Scope("unknown", "a", ("pull",))),
        ("", None),
        ("repository", None),
        ("repository:a", None),
        ("repository::pull", None),
        (":a:pull", None),
        ("Repository:a:pull", None),
        ("repository():a:pull", None),
        ("repository(plugin:a:pull", None),
        ("repository:a:pull,", None),
        ("repository:a:PULL", None),
        ("repository:a:pull push", None),
        ("repository:a b:pull", None),
        ('repository:a":pull', None),
        ("repository:a\\:pull", None),
        ("repository:a\n:pull", None),
        ("repository:a:pull\n", None),
        ("repository:é:pull", None),
        ("repository:a:**", None),
        ("repository:" + "a" * 1010 + ":pull", None),
    ],
)
def test_scopes(text: str, scope: Scope | None) -> None:
    assert parse_scope(text) == scope


@given(st.text("repository:()a,/* pul"))
def test_a_scope_reads_as_it_was_printed(text: str) -> None:
    scope = parse_scope(text)
    assert scope is None or parse_scope(str(scope)) == scope


def test_the_scope_of_a_pull() -> None:
    assert str(pull_scope(RepositoryName("library/nginx"))) == "repository:library/nginx:pull"


def test_a_megabyte_is_no_scope() -> None:
    with cpu_budget(0.05):
        assert parse_scope("repository:a:" + "pull," * 200_000) is None


@pytest.mark.parametrize(
    ("scope", "error", "expected"),
    [
        (None, None, 'Bearer realm="https://m/token",service="m"'),
        (
            Scope("repository", "a/b", ("pull", "push")),
            None,
            'Bearer realm="https://m/token",service="m",scope="repository:a/b:pull,push"',
        ),
        (
            Scope("registry", "catalog", ("*",)),
            "insufficient_scope",
            (
                'Bearer realm="https://m/token",service="m",scope="registry:catalog:*",'
                'error="insufficient_scope"'
            ),
        ),
    ],
)
def test_our_own_challenge(scope: Scope | None, error: str | None, expected: str) -> None:
    assert format_bearer_challenge("https://m/token", "m", scope, error) == expected


@given(VALUE, VALUE)
def test_our_own_challenge_is_understood(realm: str, service: str) -> None:
    scope = Scope("repository", "a", ("pull",))
    (found,) = parse_challenges([format_bearer_challenge(realm, service, scope, "invalid_token")])

    assert found.get("realm") == realm
    assert found.get("service") == service
    assert found.get("scope") == "repository:a:pull"
    assert found.get("error") == "invalid_token"


def test_no_value_can_start_another_header() -> None:
    line = format_bearer_challenge("r\r\nSet-Cookie: a=b", 's"\n', None, None)
    assert line == 'Bearer realm="rSet-Cookie: a=b",service="s\\""'
