import json
from pathlib import Path

import pytest

from mirror.config import Config, load_config
from tests.config.conftest import Folder, complaints_of

SECRET = "hunter2-and-more"


@pytest.mark.parametrize(
    ("name", "url", "realms"),
    [
        ("docker.io", "https://registry-1.docker.io", ("auth.docker.io",)),
        ("ghcr.io", "https://ghcr.io", ("ghcr.io",)),
        ("quay.io", "https://quay.io", ("quay.io",)),
        ("public.ecr.aws", "https://public.ecr.aws", ("public.ecr.aws",)),
        ("registry.gitlab.com", "https://registry.gitlab.com", ("gitlab.com",)),
        ("registry.k8s.io", "https://registry.k8s.io", ()),
        ("localhost:5001", "https://localhost:5001", ()),
    ],
)
def test_a_name_implies_url_and_realms(
    folder: Folder, name: str, url: str, realms: tuple[str, ...]
) -> None:
    upstream = folder.load(f'upstreams: {{"{name}": }}').upstreams[name]
    assert (upstream.url, upstream.realms, upstream.default) == (url, realms, True)


def test_what_is_written_wins_over_what_is_implied(folder: Folder) -> None:
    text = "upstreams: {docker.io: {url: 'http://127.0.0.1:1', realms: []}}"
    upstream = folder.load(text).upstreams["docker.io"]
    assert (upstream.url, upstream.realms) == ("http://127.0.0.1:1", ())


def test_any_upstream_can_be_the_default(folder: Folder) -> None:
    config = folder.load("upstreams: {docker.io: , quay.io: {default: true}}")
    assert config.default_upstream == "quay.io"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "upstreams:\n  ghcr.io:\n  quay.io:\n",
            "1:1: upstreams: none of ghcr.io and quay.io is the default: write default: true",
        ),
        (
            "upstreams:\n  ghcr.io: {default: true}\n  a:\n  quay.io: {default: on}\n",
            "4:22: upstreams.quay.io.default: ghcr.io and quay.io each say default: true",
        ),
        ("upstreams: {ghcr.io: {default: no}}", "1:1: upstreams: none of ghcr.io is the default"),
        ("upstreams: {}", "1:1: upstreams: at least one upstream must be named here"),
    ],
)
def test_exactly_one_upstream_is_the_default(folder: Folder, text: str, complaint: str) -> None:
    assert folder.complaint(text).startswith(f"mirror.yaml:{complaint}")


def test_a_default_that_cannot_be_read_is_one_mistake_and_not_two(folder: Folder) -> None:
    told = folder.complaint("upstreams: {ghcr.io: {default: maybe}, quay.io: }")
    assert told.startswith("mirror.yaml:1:32: upstreams.ghcr.io.default: 'maybe' is neither")


def test_a_name_that_is_refused_is_one_mistake_and_not_two(folder: Folder) -> None:
    assert "cannot be an upstream's name" in folder.complaint('upstreams: {"a b": }')


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("hosted: {namespaces: [a/**, docker.io/x]}", "1:29: hosted.namespaces.1: docker.io is an"),
        ("hosted: {namespaces: [docker.io]}", "1:23: hosted.namespaces.0: docker.io is an"),
        ("upstreams: {team: }\nhosted: {namespaces: [team/**]}", "2:23: hosted.namespaces.0: team"),
        ("upstreams: {local: }", "1:13: upstreams.local: hosted.namespaces has local/**"),
    ],
)
def test_nothing_is_hosted_below_an_upstream(folder: Folder, text: str, complaint: str) -> None:
    assert folder.complaint(text).startswith(f"mirror.yaml:{complaint}")


def test_hosting_below_an_upstream_that_is_not_configured_is_fine(folder: Folder) -> None:
    text = "upstreams: {quay.io: }\nhosted: {namespaces: [docker.io/**, quay.io.example/**]}"
    assert folder.load(text).hosted.namespaces[0] == "docker.io/**"


def test_a_pattern_does_not_repeat_the_name_of_its_upstream(folder: Folder) -> None:
    told = folder.complaint("upstreams: {docker.io: {deny: [docker.io/a/*]}}")
    assert told.startswith("mirror.yaml:1:32: upstreams.docker.io.deny.0: matches nothing")


def credentials(text: str) -> str:
    return f"upstreams:\n  docker.io:\n    credentials: {text}\n"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{username: a}", "3:5: upstreams.docker.io.credentials: a password is missing"),
        ("{username: a, password: }", "3:5: upstreams.docker.io.credentials: a password is"),
        ("{password: b}", "3:5: upstreams.docker.io.credentials.username: is missing"),
        ("{username: a:b, password: c}", "3:29: upstreams.docker.io.credentials.username: a user"),
        ('{username: "", password: c}', "3:29: upstreams.docker.io.credentials.username: a user"),
        ('{username: a, password: ""}', "3:42: upstreams.docker.io.credentials.password: an emp"),
        ('{username: a, password: "\\0"}', "3:42: upstreams.docker.io.credentials.password: it"),
        ("{username: a, password: [b]}", "3:42: upstreams.docker.io.credentials.password: must"),
        ("a:b", "3:18: upstreams.docker.io.credentials: must be a section"),
    ],
)
def test_credentials_are_a_user_name_and_a_password(
    folder: Folder, text: str, complaint: str
) -> None:
    assert folder.complaint(credentials(text)).startswith(f"mirror.yaml:{complaint}")


def test_two_passwords_are_refused(folder: Folder) -> None:
    (folder.path / "p").write_text("x")
    told = folder.complaint(credentials("{username: a, password: b, password_file: p}"))
    assert told.startswith("mirror.yaml:3:45: upstreams.docker.io.credentials.password_file: pass")


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (b"s3cret", "s3cret"),
        (b"s3cret\n", "s3cret"),
        (b"s3cret\r\n", "s3cret"),
        (b"s3cret\n\n", "s3cret\n"),
        (b" s3cret ", " s3cret "),
        (b'{\n "type": "service_account"\n}\n', '{\n "type": "service_account"\n}'),
        ("pässword".encode(), "pässword"),
        (b"\xef\xbb\xbfs3cret", "s3cret"),
    ],
)
def test_a_password_file_is_read_without_one_line_end(
    folder: Folder, content: bytes, secret: str
) -> None:
    (folder.path / "token").write_bytes(content)
    (folder.path / "token").chmod(0o600)
    config = folder.load(credentials("{username: a, password_file: token}"))
    found = config.upstreams["docker.io"].credentials
    assert found is not None
    assert found.secret.get_secret_value() == secret
    assert config.warnings == ()


def test_a_password_file_lies_beside_the_configuration(folder: Folder) -> None:
    (folder.path / "etc").mkdir()
    (folder.path / "etc" / "token").write_text("x")
    file = Path("etc/mirror.yaml")
    file.write_text(credentials("{username: a, password_file: token}"))
    assert load_config(file, {}).upstreams["docker.io"].credentials is not None


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "cannot be read: No such file"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xff" + SECRET.encode(), "is not UTF-8"),
        (SECRET.encode() + b"\0", "no password can contain"),
        (SECRET.encode() * 10_000, "is too large for a password"),
    ],
)
def test_a_password_file_that_is_of_no_use_is_a_mistake(
    folder: Folder, content: bytes | None, complaint: str
) -> None:
    if content is not None:
        (folder.path / "token").write_bytes(content)
    told = folder.complaint(credentials("{username: a, password_file: token}"))
    assert told.startswith("mirror.yaml:3:47: upstreams.docker.io.credentials.password_file: ")
    assert complaint in told
    assert SECRET not in told


def test_a_folder_is_no_password_file(folder: Folder) -> None:
    told = folder.complaint(credentials("{username: a, password_file: .}"))
    assert "cannot be read: Is a directory" in told


def test_a_password_file_that_everyone_can_read_is_warned_about(folder: Folder) -> None:
    (folder.path / "token").write_text(SECRET)
    (folder.path / "token").chmod(0o644)
    (warning,) = folder.load(credentials("{username: a, password_file: token}")).warnings
    assert warning.startswith("upstreams.docker.io.credentials.password_file: every user")
    assert SECRET not in warning


@pytest.mark.parametrize("url", ["http://hub.example.com", "http://10.0.0.1:5000/"])
def test_credentials_are_not_sent_in_the_clear(folder: Folder, url: str) -> None:
    login = "credentials: {username: a, password: b}"
    told = folder.complaint(f"upstreams: {{docker.io: {{url: '{url}', {login}}}}}")
    assert told.startswith("mirror.yaml:1:30: upstreams.docker.io.url: the credentials would be")
    assert folder.complaints(f"upstreams: {{docker.io: {{url: '{url}'}}}}") == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:5000", "http://localhost", "https://10.0.0.1"])
def test_credentials_may_go_to_this_machine_or_encrypted(folder: Folder, url: str) -> None:
    login = "credentials: {username: a, password: b}"
    assert folder.complaints(f"upstreams: {{docker.io: {{url: '{url}', {login}}}}}") == []


def shown(config: Config) -> str:
    dumped = json.dumps(config.model_dump(mode="json"))
    return f"{config!r} {config} {config.model_dump()} {dumped} {config.model_dump_json()}"


def test_a_configuration_never_shows_a_password(folder: Folder) -> None:
    (folder.path / "token").write_text(SECRET)
    for key in (f"password: {SECRET}", "password_file: token"):
        config = folder.load(credentials(f"{{username: somebody, {key}}}"))
        assert "somebody" in shown(config)
        assert SECRET not in shown(config)


@pytest.mark.parametrize(
    "text",
    [
        f"{{username: a, password: [{SECRET}]}}",
        f"{{username: a, password: {{x: {SECRET}}}}}",
        f"{{username: [a], password: {SECRET}}}",
        f"{{username: a, password {SECRET}}}",
        f"{{username: a, {SECRET}: b}}",
        f"{{username: a, password: {SECRET}, password_file: x}}",
        f"{{username: a, password: {SECRET}, foo: {SECRET}}}",
        f"{{username: a, password: *{SECRET}}}",
        f"{{username: a, password: &{SECRET}! }}",
        f"{{username: a, password: !!{SECRET} x}}",
        f"{{username: a, password: '{SECRET}",
        f"{{username: a, password: {SECRET}: x}}",
        f'{{username: a, password: "{SECRET}\\q"}}',
        f"{{username: a:{SECRET}, password: x}}",
        f"a:{SECRET}",
        f"[a, {SECRET}]",
    ],
)
def test_no_mistake_repeats_a_password(folder: Folder, text: str) -> None:
    variable = {"MIRROR__UPSTREAMS": f"{{docker.io: {{credentials: {text}}}}}"}
    for complaints in (folder.complaints(credentials(text)), complaints_of(None, variable)):
        assert complaints
        assert not any(SECRET in complaint for complaint in complaints)
