"""``mirror check-config``: every mistake at once, or what the configuration amounts to."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Shell

MISTAKES = "listen: 5000\ncache: {max_size: much}\nofline: true\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_good_file_is_summed_up(folder: Path) -> None:
    (folder / "mirror.yaml").write_text(
        "listen: 0.0.0.0:5000\n"
        "public_url: https://mirror.example.com\n"
        "offline: true\n"
        "upstreams:\n"
        "  docker.io: {default: true, credentials: {username: someone, password: pa55}}\n"
        "  ghcr.io:\n"
    )
    ran = Shell().run("check-config")
    assert (ran.code, ran.err) == (0, "")
    assert ran.lines == [
        "mirror.yaml is valid",
        "listen      0.0.0.0:5000",
        "public_url  https://mirror.example.com",
        f"data        {folder / 'data'}",
        "cache       at most 50.0 GiB; 2.0 GiB of the file system stay free",
        "offline     no upstream is contacted",
        "upstream    docker.io (default) at https://registry-1.docker.io as someone",
        "upstream    ghcr.io at https://ghcr.io",
        "hosted      local/**",
        "trusted     127.0.0.0/8, ::1/128",
    ]


def test_nothing_is_made_or_started(folder: Path) -> None:
    Shell().run("check-config")
    assert list(folder.iterdir()) == []


def test_without_a_file_the_defaults_are_summed_up(folder: Path) -> None:
    assert not list(folder.iterdir())
    ran = Shell({"MIRROR__LISTEN": "127.0.0.1:7000"}).run("check-config")
    assert ran.code == 0
    assert ran.lines[0] == "there is no mirror.yaml here; the defaults are valid"
    assert ran.lines[1] == "listen    127.0.0.1:7000"


def test_every_mistake_is_a_line_with_its_place(folder: Path) -> None:
    (folder / "mirror.yaml").write_text(MISTAKES)
    ran = Shell({"MIRROR__LOG__LEVEL": "loud"}).run("check-config")
    assert (ran.code, ran.out) == (2, "")
    lines = ran.err.splitlines()
    assert [line.split(" ")[0] for line in lines[:3]] == [
        "mirror.yaml:1:9:",
        "mirror.yaml:2:19:",
        "mirror.yaml:3:1:",
    ]
    assert lines[3].startswith("MIRROR__LOG__LEVEL: ")
    assert len(lines) == 4


def test_an_upstream_with_underscores_is_the_one_with_dots_or_a_mistake(folder: Path) -> None:
    ran = Shell({"MIRROR__UPSTREAMS__DOCKER_IO__URL": "https://hub.example"}).run("check-config")
    assert "upstream  docker.io (default) at https://hub.example" in ran.lines
    (folder / "mirror.yaml").write_text("upstreams: {my-hub.io: , my.hub.io: {default: true}}\n")
    ran = Shell({"MIRROR__UPSTREAMS__MY_HUB_IO__URL": "https://a"}).run("check-config")
    assert (ran.code, ran.out) == (2, "")
    assert "'my_hub_io' can be my-hub.io or my.hub.io" in ran.err
    ran = Shell({"MIRROR__UPSTREAMS__DOCKER_IO__URL": "https://a"}).run("serve")
    assert (ran.code, ran.out) == (2, "")
    assert "env 'MIRROR__UPSTREAMS__DOCKER.IO__URL=…'" in ran.err


def test_mistakes_as_json(folder: Path) -> None:
    (folder / "mirror.yaml").write_text(MISTAKES)
    ran = Shell().run("check-config", "--json")
    assert (ran.code, ran.err) == (2, "")
    document = json.loads(ran.out)
    assert document["valid"] is False
    assert [problem["key"] for problem in document["problems"]] == [
        "listen",
        "cache.max_size",
        "ofline",
    ]
    assert (document["problems"][1]["line"], document["problems"][1]["column"]) == (2, 19)


def test_a_good_file_as_json_without_its_secrets(folder: Path) -> None:
    (folder / "other.yaml").write_text(
        "upstreams: {docker.io: {credentials: {username: someone, password: pa55-w0rd}}}\n"
        "auth: {trusted_networks: [0.0.0.0/0]}\n"
    )
    ran = Shell().run("check-config", "-c", "other.yaml", "--json")
    document = json.loads(ran.out)
    assert (ran.code, document["valid"], document["listen"]) == (0, True, "127.0.0.1:5000")
    assert len(document["warnings"]) == 1
    assert "pa55" not in ran.out


def test_warnings_are_told_and_do_not_fail(folder: Path) -> None:
    (folder / "mirror.yaml").write_text("auth: {trusted_networks: [0.0.0.0/0]}\n")
    ran = Shell().run("check-config")
    assert ran.code == 0
    assert ran.err.startswith("warning: auth.trusted_networks: 0.0.0.0/0 is everyone")


@pytest.mark.parametrize("command", ["check-config", "serve"])
@pytest.mark.parametrize("name", ["missing.yaml", ".", "new\nline\x1b[2J.yaml", ""])
def test_a_file_that_cannot_be_read_is_named(folder: Path, command: str, name: str) -> None:
    assert folder.exists()
    ran = Shell().run(command, "--config", name)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.count("\n") == 1
    assert ran.err.rstrip("\n").isprintable()


@pytest.mark.parametrize("command", ["check-config", "serve"])
def test_a_link_that_leads_nowhere_is_no_reason_to_take_the_defaults(
    folder: Path, command: str
) -> None:
    (folder / "mirror.yaml").symlink_to("moved.yaml")
    ran = Shell().run(command)
    assert (ran.code, ran.err) == (2, "mirror.yaml: there is no such file\n")


def test_hostile_text_in_a_file_cannot_take_over_the_terminal(folder: Path) -> None:
    (folder / "mirror.yaml").write_text('"\\e[2J[red]": 1\nlisten: "\\e]0;owned\\a"\n')
    ran = Shell({"FORCE_COLOR": "1"}).run("check-config")
    assert ran.code == 2
    assert all(line.isprintable() for line in ran.err.splitlines())


def test_webhooks_are_summed_up_without_their_addresses(folder: Path) -> None:
    (folder / "mirror.yaml").write_text(
        "webhooks:\n"
        "  - {url: 'https://ci.example.com/t0ken', secret: s3cret, repositories: [team/app]}\n"
        "  - {url: 'http://127.0.0.1:9/t0ken', name: audit, secret: s3cret, events: [pull, push]}\n"
    )
    ran = Shell().run("check-config")
    assert "webhook   ci.example.com hears of push, delete, moved in team/app" in ran.lines
    assert "webhook   audit hears of pull, push in **" in ran.lines
    document = json.loads(Shell().run("check-config", "--json").out)
    assert document["webhooks"][1] == {
        "name": "audit",
        "events": ["pull", "push"],
        "repositories": ["**"],
    }
    assert "t0ken" not in f"{ran.out} {document}"
    assert "s3cret" not in f"{ran.out} {document}"
