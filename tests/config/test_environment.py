from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.config import Cache, ListenAddress, load_config
from tests.config.conftest import Folder, complaints_of


def test_the_environment_wins_over_the_file(folder: Folder) -> None:
    text = "cache: {max_size: 1GiB, min_free: 3}\noffline: true"
    config = folder.load(text, {"MIRROR__CACHE__MAX_SIZE": "2GiB", "MIRROR__OFFLINE": "no"})
    assert (config.cache.max_size, config.cache.min_free, config.offline) == (2 << 30, 3, False)


def test_what_a_container_image_sets() -> None:
    config = load_config(
        None, {"MIRROR__LISTEN": "0.0.0.0:5000", "MIRROR__DATA": "/var/lib/registry"}
    )
    assert config.listen == ListenAddress("0.0.0.0", 5000)
    assert config.data == Path("/var/lib/registry")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("[::1]:5000", ListenAddress("::1", 5000)),
        ('"[::1]:5000"', ListenAddress("::1", 5000)),
        (" 127.0.0.1:1 ", ListenAddress("127.0.0.1", 1)),
    ],
)
def test_a_single_value_needs_no_quotes_and_may_have_them(
    text: str, address: ListenAddress
) -> None:
    assert load_config(None, {"MIRROR__LISTEN": text}).listen == address


def test_names_are_case_insensitive_and_others_are_left_alone() -> None:
    environ = {"mirror__Cache__max_SIZE": "1", "MIRROR_PORT": "tcp://10.0.0.1", "XMIRROR__A": "1"}
    assert load_config(None, environ).cache.max_size == 1


def test_lists_and_sections_are_yaml() -> None:
    environ = {
        "MIRROR__HOSTED__NAMESPACES": '["team/**", tools]',
        "MIRROR__CACHE": "{max_size: 1, min_free: 2}",
        "MIRROR__CACHE__MIN_FREE": "3",
        "MIRROR__UPSTREAMS__DOCKER.IO__FRESHNESS_RULES": '[{match: "a/*:b", freshness: 1s}]',
    }
    config = load_config(None, environ)
    assert config.hosted.namespaces == ("team/**", "tools")
    assert (config.cache.max_size, config.cache.min_free) == (1, 3)
    (rule,) = config.upstreams["docker.io"].freshness_rules
    assert (rule.match, rule.freshness) == ("a/*:b", timedelta(seconds=1))


def test_a_section_replaces_the_one_in_the_file(folder: Folder) -> None:
    config = folder.load("cache: {max_size: 5, min_free: 6}", {"MIRROR__CACHE": "{min_free: 7}"})
    assert config.cache == Cache(min_free=7)


def test_an_empty_variable_is_the_default(folder: Folder) -> None:
    assert folder.load("offline: true", {"MIRROR__OFFLINE": ""}) == load_config(None, {})


def test_upstreams_are_addressed_by_their_names_and_join_docker_hub() -> None:
    environ = {
        "MIRROR__UPSTREAMS__DOCKER.IO__URL": "http://127.0.0.1:5001",
        "MIRROR__UPSTREAMS__GHCR.IO__FRESHNESS": "1h",
        "MIRROR__UPSTREAMS__MY-REGISTRY.EXAMPLE:5000__DENY": "[a]",
    }
    config = load_config(None, environ)
    assert list(config.upstreams) == ["docker.io", "ghcr.io", "my-registry.example:5000"]
    assert config.default_upstream == "docker.io"
    assert config.upstreams["docker.io"].url == "http://127.0.0.1:5001"
    assert config.upstreams["docker.io"].realms == ("auth.docker.io",)
    assert config.upstreams["my-registry.example:5000"].url == "https://my-registry.example:5000"


def test_docker_hub_is_not_added_to_upstreams_that_are_given(folder: Folder) -> None:
    whole = {"MIRROR__UPSTREAMS": "{quay.io: }"}
    assert list(load_config(None, whole).upstreams) == ["quay.io"]
    part = {"MIRROR__UPSTREAMS__QUAY.IO__FRESHNESS": "1h"}
    assert list(folder.load("upstreams: {quay.io: }", part).upstreams) == ["quay.io"]
    both = whole | {"MIRROR__UPSTREAMS__QUAY.IO__FRESHNESS": "1h"}
    assert list(load_config(None, both).upstreams) == ["quay.io"]


DOTLESS = "MIRROR__UPSTREAMS__DOCKER_IO__"


@pytest.mark.parametrize(
    "text", [None, "", "upstreams:", "upstreams: {docker.io: {default: true}, ghcr.io: }"]
)
def test_underscores_stand_for_the_dots_of_an_upstream(folder: Folder, text: str | None) -> None:
    """No shell exports a name with a dot."""
    environ = {
        f"{DOTLESS}URL": "http://127.0.0.1:5001",
        f"{DOTLESS}CREDENTIALS__USERNAME": "0x1F",
        f"{DOTLESS}CREDENTIALS__PASSWORD": "[",
    }
    config = load_config(None, environ) if text is None else folder.load(text, environ)
    assert [name for name in config.upstreams if name != "ghcr.io"] == ["docker.io"]
    assert config.default_upstream == "docker.io"
    hub = config.upstreams["docker.io"]
    assert (hub.url, hub.realms) == ("http://127.0.0.1:5001", ("auth.docker.io",))
    assert hub.credentials is not None
    assert hub.credentials.username == "0x1F"


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("my-registry.example:5000", "MY_REGISTRY_EXAMPLE_5000"),
        ("a--b.c", "A_B_C"),
        ("team_registry", "TEAM_REGISTRY"),
        ("team__registry", "TEAM_REGISTRY"),
        ('"[::1]:5000"', "1_5000"),
    ],
)
def test_whatever_stands_between_words_is_one_underscore(
    folder: Folder, name: str, key: str
) -> None:
    text = f"upstreams: {{docker.io: {{default: true}}, {name}: {{url: 'https://a'}}}}"
    config = folder.load(text, {f"MIRROR__UPSTREAMS__{key}__URL": "https://b"})
    assert {upstream.url for upstream in config.upstreams.values()} == {
        "https://registry-1.docker.io",
        "https://b",
    }


def test_a_section_of_an_upstream_is_found_too_and_is_below_its_keys() -> None:
    environ = {
        "MIRROR__UPSTREAMS__DOCKER_IO": "{freshness: 1h, deny: [a]}",
        "MIRROR__UPSTREAMS__DOCKER.IO__FRESHNESS": "2h",
    }
    hub = load_config(None, environ).upstreams["docker.io"]
    assert (hub.freshness, hub.deny) == (timedelta(hours=2), ("a",))


@pytest.mark.parametrize(
    "others",
    [
        {"MIRROR__UPSTREAMS": "{docker.io: {default: true}, quay.io: }"},
        {"MIRROR__UPSTREAMS__QUAY.IO": "{url: 'https://quay.example'}"},
        {"MIRROR__UPSTREAMS__QUAY.IO__DENY": "[a]"},
    ],
)
def test_upstreams_that_other_variables_add_are_found(others: dict[str, str]) -> None:
    environ = {"MIRROR__UPSTREAMS__QUAY_IO__FRESHNESS": "1h", **others}
    assert load_config(None, environ).upstreams["quay.io"].freshness == timedelta(hours=1)


def test_an_upstream_that_nobody_named_is_not_made_of_underscores(folder: Folder) -> None:
    (told,) = complaints_of(None, {"MIRROR__UPSTREAMS__QUAY_IO__URL": "https://a"})
    assert told == (
        "MIRROR__UPSTREAMS__QUAY_IO__URL: upstreams.quay_io.url: no upstream is written 'quay_io',"
        " there is docker.io; to add one, name it in the file, or write the name as it is:"
        " env 'MIRROR__UPSTREAMS__QUAY.IO__URL=…'"
    )
    told = folder.complaint("upstreams: {quay.io: }", {f"{DOTLESS}URL": "https://a"})
    assert "there is quay.io; to add one" in told
    assert complaints_of(None, {"MIRROR__UPSTREAMS": "{}", f"{DOTLESS}FRESHNESS": "1h"})


def test_underscores_that_can_mean_two_upstreams_mean_neither(folder: Folder) -> None:
    text = "upstreams: {a.b.c: {default: true}, a-b.c: , a_b_c: , d.e: }"
    told = folder.complaint(text, {"MIRROR__UPSTREAMS__A_B_C__FRESHNESS": "1h"})
    assert told == (
        "MIRROR__UPSTREAMS__A_B_C__FRESHNESS: upstreams.a_b_c.freshness: 'a_b_c' can be a-b.c or"
        " a.b.c or a_b_c: set it in the file, or write the name as it is, with its dots and dashes"
    )


def test_two_ways_to_write_one_upstream_are_refused() -> None:
    environ = {f"{DOTLESS}FRESHNESS": "1h", "MIRROR__UPSTREAMS__DOCKER.IO__FRESHNESS": "2h"}
    (told,) = complaints_of(None, environ)
    assert told == (
        f"{DOTLESS}FRESHNESS: upstreams.docker.io.freshness: also set as"
        " MIRROR__UPSTREAMS__DOCKER.IO__FRESHNESS: keep one of the two"
    )


def test_a_mistake_in_what_underscores_mean_is_told_with_the_key_that_is_meant() -> None:
    (told,) = complaints_of(None, {f"{DOTLESS}FRESHNES": "1h"})
    assert told == (
        f"{DOTLESS}FRESHNES: upstreams.docker.io.freshnes: unknown key: did you mean freshness?"
    )


@pytest.mark.parametrize("password", ["p #1: {[*&!", "'quoted'", "null", "0123", " a ", "a\nb"])
def test_user_names_and_passwords_are_taken_to_the_letter(password: str) -> None:
    prefix = "MIRROR__UPSTREAMS__DOCKER.IO__CREDENTIALS__"
    environ = {f"{prefix}USERNAME": "0x1F #", f"{prefix}PASSWORD": password}
    credentials = load_config(None, environ).upstreams["docker.io"].credentials
    assert credentials is not None
    assert credentials.username == "0x1F #"
    assert credentials.secret.get_secret_value() == password


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("MIRROR__CACHE__MAXSIZE", "1", "cache.maxsize: unknown key: did you mean max_size?"),
        ("MIRROR__CASH__SIZE", "1", "cash: unknown key"),
        ("MIRROR__CACHE__MAX_SIZE", "1G", "cache.max_size: '1G' can be read two ways"),
        ("MIRROR__CACHE", "5", "cache: must be a section"),
        ("MIRROR__CACHE", "{max_size: 1G}", "cache.max_size: '1G' can be read two ways"),
        ("MIRROR__CACHE", "{a", "cache: not valid YAML: "),
        ("MIRROR__CACHE", "{min_free: 1, min_free: 2}", "cache.min_free: given twice"),
        ("MIRROR__HOSTED__NAMESPACES", "**", "hosted.namespaces: not valid YAML: "),
        ("MIRROR__HOSTED__NAMESPACES", "team/**", "hosted.namespaces: must be a list"),
        ("MIRROR__LISTEN__HOST", "a", "listen: must be one value, not a mapping"),
        ("MIRROR__", "1", "there is no such key"),
        ("MIRROR__CACHE__", "1", "cache.: there is no such key"),
        ("MIRROR____CACHE", "1", ".cache: there is no such key"),
        ("MIRROR__" + "A__" * 5000 + "B", "1", "a.a.a.a.a.a.a.a: there is"),
        ("MIRROR__CACHE", "[" * 5000, "cache: lists and mappings nested"),
        ("MIRROR__DATA", "\udcff", "data: "),
        ("MIRROR__CACHE", "\udcff", "cache: the control character U+DCFF is not allowed"),
        ("MIRROR__UPSTREAMS__DOCKER.IO__DEFAULT", "no", "upstreams: none of docker.io is the"),
        ("MIRROR__UPSTREAMS__GHCR.IO__DEFAULT", "yes", "upstreams.ghcr.io.default: docker.io and"),
    ],
)
def test_a_mistake_is_told_with_the_name_of_the_variable(
    name: str, text: str, complaint: str
) -> None:
    (told,) = complaints_of(None, {name: text})
    assert told.removeprefix(f"{name}: ").startswith(complaint)


def test_two_spellings_of_one_name_are_refused() -> None:
    (told,) = complaints_of(None, {"MIRROR__OFFLINE": "true", "mirror__offline": "false"})
    assert told == "mirror__offline: offline: also set as MIRROR__OFFLINE: keep one of the two"


def test_items_of_a_list_in_the_file_cannot_be_set(folder: Folder) -> None:
    told = folder.complaint("hosted: {namespaces: [a]}", {"MIRROR__HOSTED__NAMESPACES__0": "b"})
    assert told == (
        "MIRROR__HOSTED__NAMESPACES__0: hosted.namespaces.0: hosted.namespaces is a single value"
        " or a list, at mirror.yaml:1:22: set it as a whole"
    )


def test_mistakes_of_both_origins_are_told_together(folder: Folder) -> None:
    environ = {"MIRROR__OFFLINE": "maybe", "MIRROR__CACHE__MAX_SIZE": "1"}
    told = folder.complaints("cache: {max_size: 1G, min_free: x}\noffline: what", environ)
    assert [line.split(": ")[:2] for line in told] == [
        ["mirror.yaml:1:33", "cache.min_free"],
        ["MIRROR__OFFLINE", "offline"],
    ]


PARTS = st.sampled_from(
    ["cache", "upstreams", "docker.io", "docker_io", "a_b", "max_size", "credentials", "0", ""]
)
VARIABLES = st.lists(PARTS).map(lambda parts: "__".join(["MIRROR", *parts]))


@given(st.dictionaries(VARIABLES, st.text(max_size=20), max_size=5))
def test_any_environment_loads_or_is_a_configuration_error(environ: dict[str, str]) -> None:
    assert all(told.isprintable() for told in complaints_of(None, environ))
