"""``webhooks``: what is said of each, what is wrong with it, and that no secret is ever shown."""

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest

from mirror.config import Config, Webhook, load_config
from tests.config.conftest import Folder, complaints_of
from tests.config.test_shipped import ROWS, SHIPPED

SECRET = "hunter2-and-more"
URL = "https://ci.example.com/hook?token=t0p"
SMALLEST = f"url: {URL}, secret: {SECRET}"


def sole(config: Config) -> Webhook:
    [webhook] = config.webhooks
    return webhook


def test_nobody_is_told_anything_by_default(folder: Folder) -> None:
    assert folder.load("").webhooks == ()
    assert folder.load("webhooks:").webhooks == ()


def test_url_and_secret_are_enough(folder: Folder) -> None:
    webhook = sole(folder.load(f"webhooks: [{{{SMALLEST}}}]"))
    assert webhook.url.get_secret_value() == URL
    assert webhook.signing_secret.get_secret_value() == SECRET
    assert webhook.label == "ci.example.com"
    assert webhook.events == ("push", "delete", "moved")
    assert webhook.repositories == ("**",)
    assert dict(webhook.headers) == {}
    assert (webhook.timeout, webhook.give_up_after) == (timedelta(seconds=10), timedelta(days=3))
    assert webhook.max_queued == 10_000


def test_the_example_in_the_shipped_file_works(folder: Folder) -> None:
    (folder.path / "hook-secret").write_text(f"{SECRET}\n")
    (folder.path / "hook-secret").chmod(0o600)
    shipped = SHIPPED.read_text()
    example = shipped[shipped.index("# webhooks:\n") :].partition("\n\n")[0]
    config = folder.load(re.sub(r"^# ?", "", example, flags=re.MULTILINE))
    webhook = sole(config)
    assert config.warnings == ()
    assert webhook.signing_secret.get_secret_value() == SECRET
    assert webhook.label == "builds"
    assert webhook.repositories == ("docker.io/library/*", "team/**")
    assert webhook.headers["Authorization"].get_secret_value() == "Bearer something"
    assert set(Webhook.model_fields) - {"secret"} == set(
        re.findall(
            r"^ *(?:- )?(\w+):", re.sub(r"^# ?", "", example, flags=re.MULTILINE), re.MULTILINE
        )
    ) - {"webhooks"}


@pytest.mark.parametrize(
    ("key", "default"),
    [
        (key.rpartition(".")[2], row[0])
        for key, row in ROWS.items()
        if key.startswith("webhooks.0.") and re.fullmatch("`[^`]*`", row[0])
    ],
)
def test_every_default_in_the_reference_is_one(folder: Folder, key: str, default: str) -> None:
    written = folder.load(f"webhooks: [{{{SMALLEST}, {key}: {default.strip('`')}}}]")
    assert sole(written) == sole(folder.load(f"webhooks: [{{{SMALLEST}}}]"))


def test_a_webhook_comes_from_the_environment_as_a_whole(folder: Folder) -> None:
    environ = {"MIRROR__WEBHOOKS": f"[{{{SMALLEST}, events: [PULL]}}]"}
    assert sole(folder.load("", environ)).events == ("pull",)
    complaint = folder.complaint(f"webhooks: [{{{SMALLEST}}}]", {"MIRROR__WEBHOOKS__0__NAME": "a"})
    assert complaint.startswith("MIRROR__WEBHOOKS__0__NAME: webhooks.0.name: webhooks is a single")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{url: ftp://a, secret: x}", "1:18: webhooks.0.url: must begin with https:// or http://"),
        ("{url: a.example/x, secret: x}", "1:18: webhooks.0.url: must begin with https://"),
        ("{url: 'http://u:p@a', secret: x}", "1:18: webhooks.0.url: must not contain a user name"),
        ("{url: 'http://a/#x', secret: x}", "1:18: webhooks.0.url: contains a character that"),
        ("{url: 'http://a/ x', secret: x}", "1:18: webhooks.0.url: contains a character that"),
        ("{url: 'http://a:99999', secret: x}", "1:18: webhooks.0.url: '99999' is not a port"),
        ("{secret: x}", "1:12: webhooks.0.url: is missing"),
        ("{url: http://a}", "1:12: webhooks.0: a secret is missing: add secret_file (a path) or"),
        ("{url: http://a, secret: ''}", "1:36: webhooks.0.secret: an empty secret is none"),
        (
            "{url: http://a, secret_file: none}",
            "1:41: webhooks.0.secret_file: '",
        ),
        ("{url: http://a, secret: x, name: 'a|b'}", "1:45: webhooks.0.name: 'a|b' cannot be"),
        (
            "{url: http://a, secret: x, events: [push, mount]}",
            "1:54: webhooks.0.events.1: 'mount' is not one of 'push', 'pull', 'delete' or 'moved'",
        ),
        ("{url: http://a, secret: x, events: []}", "1:47: webhooks.0.events: nothing would ever"),
        (
            "{url: http://a, secret: x, repositories: []}",
            "1:53: webhooks.0.repositories: nothing would ever be sent",
        ),
        (
            "{url: http://a, secret: x, repositories: ['a:b']}",
            "1:54: webhooks.0.repositories.0: 'a:b' must name repositories only",
        ),
        (
            "{url: http://a, secret: x, headers: {Content-Type: a}}",
            "1:49: webhooks.0.headers.Content-Type: 'Content-Type' is no header that can be set",
        ),
        (
            "{url: http://a, secret: x, headers: {X-Mirror-Signature-256: a}}",
            "1:49: webhooks.0.headers.X-Mirror-Signature-256: 'X-Mirror-Signature-256' is no",
        ),
        (
            '{url: http://a, secret: x, headers: {A: "b\\r\\nC: d"}}',
            "1:52: webhooks.0.headers.A: a header has at least one character",
        ),
        ("{url: http://a, secret: x, timeout: 0s}", "1:48: webhooks.0.timeout: '0s' leaves no"),
        ("{url: http://a, secret: x, max_queued: 0}", "1:51: webhooks.0.max_queued: '0' is not a"),
        (
            "{url: http://a, secret: x, event: [push]}",
            "1:39: webhooks.0: unknown key: did you mean events?",
        ),
    ],
)
def test_every_mistake_has_its_place(folder: Folder, text: str, complaint: str) -> None:
    assert folder.complaint(f"webhooks: [{text}]").startswith(f"mirror.yaml:{complaint}")


def test_two_secrets_are_one_too_many(folder: Folder) -> None:
    (folder.path / "key").write_text("x")
    text = "webhooks:\n  - url: http://a\n    secret: x\n    secret_file: key\n"
    assert folder.complaint(text) == (
        "mirror.yaml:4:5: webhooks.0.secret_file: secret is given as well: keep one of the two"
    )


@pytest.mark.parametrize(
    ("first", "second", "name"),
    [
        ("url: http://a/1", "url: http://A/2", "a"),
        ("url: http://a, name: b", "url: https://b", "b"),
        ("url: http://a, name: x", "url: http://b, name: x", "x"),
    ],
)
def test_no_two_have_the_same_name(folder: Folder, first: str, second: str, name: str) -> None:
    text = f"webhooks:\n  - {{{first}, secret: x}}\n  - {{{second}, secret: x}}\n"
    assert folder.complaint(text) == (
        f"mirror.yaml:3:5: webhooks.1: another webhook is called '{name}' too: give each a name of"
        " its own"
    )
    assert len(folder.load(text.replace(second, "url: http://other")).webhooks) == 2


@pytest.mark.parametrize("text", ["webhooks: {url: http://a}", "webhooks: http://a"])
def test_it_is_a_list(folder: Folder, text: str) -> None:
    assert folder.complaint(text) == ("mirror.yaml:1:11: webhooks: must be a list, such as [a, b]")


def test_what_can_be_read_by_others_is_warned_of(folder: Folder) -> None:
    (folder.path / "key").write_text("x")
    (folder.path / "key").chmod(0o644)
    config = folder.load(
        "webhooks: [{url: http://a, secret_file: key, headers: {A: b}},"
        " {url: http://127.0.0.1, secret: x, headers: {A: b}}]"
    )
    assert [warning.partition(": ")[0] for warning in config.warnings] == [
        "webhooks.0.secret_file",
        "webhooks.0.headers",
    ]


def test_no_secret_is_ever_shown(folder: Folder) -> None:
    text = f"webhooks: [{{url: '{URL}', secret: {SECRET}, headers: {{Authorization: {SECRET}}}}}]"
    config = folder.load(text)
    shown = f"{config!r} {config} {json.dumps(config.model_dump(mode='json'), default=str)}"
    assert SECRET not in shown
    assert "t0p" not in shown


@pytest.mark.parametrize(
    "text",
    [
        f"[{{url: 'http://u:{SECRET}@a', secret: x}}]",
        f"[{{url: 'gopher://a/{SECRET}', secret: x}}]",
        f"[{{url: 'http://a/ {SECRET}', secret: x}}]",
        f"[{{url: 'http://[{SECRET}', secret: x}}]",
        f"[{{url: http://a, secret {SECRET}: }}]",
        f'[{{url: http://a, secret: "{SECRET}\\0"}}]',
        f'[{{url: http://a, secret: x, headers: {{A: "{SECRET}\\n"}}}}]',
    ],
)
def test_no_mistake_repeats_a_secret(folder: Folder, text: str) -> None:
    complaints = folder.complaints(f"webhooks: {text}")
    assert complaints
    assert SECRET not in " ".join(complaints)


def test_the_file_is_looked_for_beside_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "key").write_text("\n")
    file = tmp_path / "etc" / "mirror.yaml"
    file.write_text("webhooks: [{url: http://a, secret_file: key}]")
    monkeypatch.chdir(tmp_path)
    [complaint] = complaints_of(file)
    assert "is empty" in complaint
    (tmp_path / "etc" / "key").write_text("s\n")
    assert sole(load_config(file, {})).signing_secret.get_secret_value() == "s"
