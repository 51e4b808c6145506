import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from types import MappingProxyType

import pytest
from pydantic import ValidationError

from mirror.config import (
    Config,
    ConfigError,
    FreshnessRule,
    ListenAddress,
    Place,
    Problem,
    load_config,
)
from tests.config.conftest import Folder, complaints_of

NOBODY = 65534
EVERYTHING = """
listen: "[::1]:0"
public_url: https://mirror.example.com
data: state
offline: yes
cache: {max_size: 1TiB, min_free: 0, low_watermark: 75.5%}
upstreams:
  docker.io:
    url: https://hub.example.com/prefix
    default: true
    realms: [Login.example.com:8443]
    freshness: 1h
    freshness_rules: [{match: "library/*:*-nightly", freshness: 0s}]
    deleted_tags: keep
    allow: [library/*]
    deny: [library/evil]
  ghcr.io:
hosted: {namespaces: [team/**, tools]}
auth: {trusted_networks: [10.0.0.0/8]}
timeouts:
  {connect: 1s, headers: 2s, progress: 3s, stale_after: 4s, write: 5s, keepalive: 6s, drain: 0s}
log: {format: JSON, level: Debug}
tls: null
"""

MISTAKES = """\
listen: :5000
cach: {}
cache:
  max_size: 50G
  max_size: 1
  min_free: [1]
upstreams:
  docker.io:
    default: true
    freshness: 5
    freshness_rules: [{match: "a"}]
    deleted_tags: maybe
    allow: "**"
  Bad/Name:
  ghcr.io: {default: true}
hosted: {namespaces: [docker.io/**, ""]}
auth: 5
timeouts: {drain: 0s, connect: 0s}
"""


def test_without_anything_there_are_the_defaults(folder: Folder) -> None:
    config = load_config(None, {})
    assert config.listen == ListenAddress("127.0.0.1", 5000)
    assert config.data == folder.path / "data"
    assert config.cache.max_size == 50 * 1024**3
    assert config.cache.low_size == 47.5 * 1024**3
    assert config.default_upstream == "docker.io"
    hub = config.upstreams["docker.io"]
    assert (hub.url, hub.realms) == ("https://registry-1.docker.io", ("auth.docker.io",))
    assert hub.freshness == timedelta(minutes=5)
    assert config.auth.trusted_networks == (ip_network("127.0.0.0/8"), ip_network("::1"))
    assert config.timeouts.stale_after == timedelta(milliseconds=1500)
    assert config.warnings == ()


@pytest.mark.parametrize("text", ["", "# nothing\n", "null", "~", "{}", "---\n...\n", "\ufeff"])
def test_an_empty_file_is_all_defaults(folder: Folder, text: str) -> None:
    assert folder.load(text) == load_config(None, {})


def test_every_key_is_read(folder: Folder) -> None:
    config = folder.load(EVERYTHING)
    assert config.listen == ListenAddress("::1", 0)
    assert config.public_url == "https://mirror.example.com"
    assert config.data == folder.path / "state"
    assert config.offline is True
    assert config.cache.max_size == 1024**4
    assert config.cache.min_free == 0
    assert config.cache.low_watermark == 75.5
    hub = config.upstreams["docker.io"]
    assert hub.url == "https://hub.example.com/prefix"
    assert hub.realms == ("login.example.com:8443",)
    assert hub.freshness == timedelta(hours=1)
    nightly = FreshnessRule(match="library/*:*-nightly", freshness=timedelta(0))
    assert hub.freshness_rules == (nightly,)
    assert (hub.deleted_tags, hub.allow, hub.deny) == ("keep", ("library/*",), ("library/evil",))
    assert config.hosted.namespaces == ("team/**", "tools")
    assert config.auth.trusted_networks == (ip_network("10.0.0.0/8"),)
    seconds = [wait.total_seconds() for _, wait in config.timeouts]
    assert seconds == [1, 2, 3, 4, 5, 6, 0]
    assert (config.log.format, config.log.level) == ("json", "debug")


def test_nothing_can_be_changed_afterwards(folder: Folder) -> None:
    config = folder.load(EVERYTHING)
    with pytest.raises(ValidationError, match="frozen"):
        config.offline = False
    with pytest.raises(ValidationError, match="frozen"):
        config.cache.max_size = 1
    assert isinstance(config.upstreams, MappingProxyType)
    assert hash(config.cache) == hash(folder.load(EVERYTHING).cache)


def test_paths_start_at_the_folder_of_the_file(folder: Folder, tmp_path: Path) -> None:
    elsewhere = tmp_path / "etc" / "mirror"
    elsewhere.mkdir(parents=True)
    file = elsewhere / "own.yaml"
    file.write_text("data: ../state")
    assert load_config(file, {}).data == elsewhere / ".." / "state"
    assert load_config(Path("etc/mirror/own.yaml"), {}).data == elsewhere / ".." / "state"
    assert folder.load("data: /var/lib/registry").data == Path("/var/lib/registry")


def test_values_are_taken_as_typed_and_not_as_yaml_guesses(folder: Folder) -> None:
    text = "upstreams: {docker.io: {credentials: {username: 0123, password: no}}}"
    credentials = folder.load(text).upstreams["docker.io"].credentials
    assert credentials is not None
    assert credentials.username == "0123"
    assert credentials.secret.get_secret_value() == "no"


def test_a_key_with_nothing_behind_it_has_its_default(folder: Folder) -> None:
    text = "listen:\ncache:\n  max_size:\n  min_free: 1\nupstreams: ~\nauth: {trusted_networks: }"
    config = folder.load(text)
    assert config.cache.min_free == 1
    defaults = load_config(None, {})
    assert config.cache.max_size == defaults.cache.max_size
    assert (config.listen, config.upstreams, config.auth) == (
        defaults.listen,
        defaults.upstreams,
        defaults.auth,
    )


def test_all_mistakes_are_told_at_once_with_their_places(folder: Folder) -> None:
    environ = {"MIRROR__LOG__LEVEL": "loud", "MIRROR__CACHE__MIN_FREE_": "1"}
    starts = [complaint.split(": ")[:2] for complaint in folder.complaints(MISTAKES, environ)]
    assert starts == [
        ["mirror.yaml:1:9", "listen"],
        ["mirror.yaml:2:1", "cach"],
        ["mirror.yaml:4:13", "cache.max_size"],
        ["mirror.yaml:5:3", "cache.max_size"],
        ["mirror.yaml:6:13", "cache.min_free"],
        ["mirror.yaml:10:16", "upstreams.docker.io.freshness"],
        ["mirror.yaml:11:23", "upstreams.docker.io.freshness_rules.0.freshness"],
        ["mirror.yaml:12:19", "upstreams.docker.io.deleted_tags"],
        ["mirror.yaml:13:12", "upstreams.docker.io.allow"],
        ["mirror.yaml:14:3", "upstreams.Bad/Name"],
        ["mirror.yaml:15:22", "upstreams.ghcr.io.default"],
        ["mirror.yaml:16:23", "hosted.namespaces.0"],
        ["mirror.yaml:16:37", "hosted.namespaces.1"],
        ["mirror.yaml:17:7", "auth"],
        ["mirror.yaml:18:32", "timeouts.connect"],
        ["MIRROR__CACHE__MIN_FREE_", "cache.min_free_"],
        ["MIRROR__LOG__LEVEL", "log.level"],
    ]


def test_problems_are_values(folder: Folder) -> None:
    folder.file.write_text("offline: 1")
    with pytest.raises(ConfigError) as caught:
        load_config(folder.file, {})
    message = "'1' is neither true nor false"
    assert caught.value.problems == (Problem(Place("mirror.yaml", 1, 10), "offline", message),)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("cach: {}", "unknown key: did you mean cache?"),
        ("cache: {max-size: 1}", "unknown key: did you mean max_size?"),
        ('"[key]": 1', "mirror.yaml:1:1: [key]: unknown key"),
        ('upstreams: {"[key]": }', "mirror.yaml:1:13: upstreams.[key]: '[key]' cannot be"),
        ("max_size: 1", "unknown key here: did you mean cache.max_size?"),
        ("cache: {foo: 1}", "unknown key: known here are max_size, min_free, low_watermark"),
        ("cache: {foo: }", "unknown key: known here are"),
        ("upstreams: {docker.io: {freshnes: 1}}", "did you mean freshness?"),
        ("log: {level: warn}", "is not one of 'debug', 'info', 'warning' or 'error'"),
        ("cache: 5", "must be a section"),
        ("cache: []", "must be a section"),
        ("upstreams: [docker.io]", "must be a mapping of names"),
        ("hosted: {namespaces: local}", "must be a list, such as [a, b]"),
        ("hosted: {namespaces: {a: b}}", "must be a list, such as [a, b]"),
        ("hosted: {namespaces: [~]}", "must be one value, not nothing"),
        ("listen: {host: a}", "must be one value, not a mapping"),
        ("data: [a]", "must be one value, not a list"),
        ("data: ''", "is not a path"),
        ('data: "a\\0b"', "is not a path"),
        ("data: ~/mirror", "write the whole path"),
        ("tls: {}", "put a TLS proxy in front"),
        ("tls: false", "put a TLS proxy in front"),
        ("upstreams: {docker.io: 5}", "must be a section"),
        ("- a", "must be keys with values"),
        ("listen", "must be keys with values"),
    ],
)
def test_what_is_wrong_comes_with_what_would_be_right(
    folder: Folder, text: str, advice: str
) -> None:
    assert advice in folder.complaint(text)


def test_a_file_that_was_named_must_be_there(folder: Folder) -> None:
    assert not (folder.path / "own.yaml").exists()
    assert complaints_of(Path("own.yaml")) == ["own.yaml: there is no such file"]


def test_a_folder_is_no_file(folder: Folder) -> None:
    with pytest.raises(ConfigError, match=r": this is a folder: name the file in it$"):
        load_config(folder.path, {})


def test_a_file_that_cannot_be_opened_is_named(folder: Folder) -> None:
    folder.file.symlink_to(folder.file)
    with pytest.raises(ConfigError, match=r"^mirror\.yaml: it cannot be read: .*symbolic links$"):
        load_config(folder.file, {})


@contextmanager
def not_as_root() -> Iterator[None]:
    """Root may read every file."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


def test_a_file_that_may_not_be_read_is_named(folder: Folder) -> None:
    folder.path.chmod(0o755)
    folder.file.touch(mode=0)
    with (
        not_as_root(),
        pytest.raises(ConfigError, match=r"^mirror\.yaml: this process may not read it"),
    ):
        load_config(folder.file, {})
    folder.file.chmod(0o644)
    with not_as_root():
        assert load_config(folder.file, {}) == load_config(None, {})


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000, "a/b", "\udcff.yaml"])
def test_a_name_that_no_file_can_have_is_a_configuration_error(folder: Folder, name: str) -> None:
    (complaint,) = complaints_of(folder.path / name)
    assert complaint.isprintable()


def test_validation_outside_a_file_takes_values(tmp_path: Path) -> None:
    config = Config(data=tmp_path, offline=True)
    assert (config.data, config.offline) == (tmp_path, True)


def test_trusting_everyone_is_warned_about(folder: Folder) -> None:
    config = folder.load('auth: {trusted_networks: [0.0.0.0/0, "::/0", 10.0.0.0/8]}')
    assert [warning.split(" is everyone")[0] for warning in config.warnings] == [
        "auth.trusted_networks: 0.0.0.0/0",
        "auth.trusted_networks: ::/0",
    ]
