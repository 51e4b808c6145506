"""`mirror.yaml` and docs/configuration.md say exactly what the models say."""

import json
import re
from pathlib import Path

import pytest

from mirror.config import Config, load_config
from mirror.config.problems import dotted
from mirror.config.schema import ANY_NAME, all_keys, section_at
from tests.config.conftest import Folder, complaints_of

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "mirror.yaml"
REFERENCE = (ROOT / "docs" / "configuration.md").read_text()
KEYS = [dotted(path) for path in all_keys()]
ROW = re.compile(r"^\| `([a-z_.<>0-9]+)` \| [^|]+ \| ([^|]+) \| (?:`([^`|]+)` )?\|$", re.MULTILINE)
ROWS = {key: (default, variable) for key, default, variable in ROW.findall(REFERENCE)}


def uncommented(text: str) -> str:
    """With the examples: a key directly behind its #, without a space."""
    return re.sub(r"^( *)#(?=[a-z_.0-9]+:)", r"\1", text, flags=re.MULTILINE)


def fenced(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", REFERENCE, flags=re.MULTILINE | re.DOTALL)


def test_the_shipped_file_is_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert load_config(Path("mirror.yaml"), {}) == load_config(None, {})


def test_the_examples_in_the_shipped_file_work_as_well(folder: Folder) -> None:
    (folder.path / "hub-token").write_text("x")
    config = folder.load(uncommented(SHIPPED.read_text()))
    assert list(config.upstreams) == [
        "docker.io",
        "ghcr.io",
        "quay.io",
        "registry.k8s.io",
        "mcr.microsoft.com",
        "public.ecr.aws",
    ]
    assert config.upstreams["docker.io"].credentials is not None
    assert config.default_upstream == "docker.io"


@pytest.mark.parametrize("key", KEYS)
def test_every_key_is_in_the_shipped_file(key: str) -> None:
    name = key.rpartition(".")[2]
    assert re.search(rf"\b{name}:", SHIPPED.read_text()), key


@pytest.mark.parametrize("key", [key for key in KEYS if section_at(tuple(key.split("."))) is None])
def test_every_key_is_in_the_reference_with_its_variable(key: str) -> None:
    _, variable = ROWS[key]
    expected = ["MIRROR", *key.upper().replace(ANY_NAME.upper(), "GHCR_IO").split(".")]
    assert variable.replace("GHCR.IO", "GHCR_IO") in ("__".join(expected), "")


def test_the_reference_has_no_key_that_does_not_exist() -> None:
    assert set(ROWS) <= set(KEYS)


@pytest.mark.parametrize(
    ("key", "default"),
    [
        (key, row[0])
        for key, row in ROWS.items()
        if re.fullmatch("`[^`]*`", row[0]) and ".0." not in key
    ],
)
def test_every_default_in_the_reference_is_one(folder: Folder, key: str, default: str) -> None:
    parts = [part.replace(ANY_NAME, "docker.io") for part in key.split(".")]
    text = "".join(f"{{{part}: " for part in parts) + default.strip("`") + "}" * len(parts)
    assert folder.load(text) == load_config(None, {})


@pytest.mark.parametrize("text", fenced("yaml")[:-1])
def test_examples_in_the_reference_work(folder: Folder, text: str) -> None:
    (folder.path / "hub-token").write_text("x")
    (folder.path / "hub-token").chmod(0o600)
    assert folder.load(text).warnings == ()


def test_mistakes_in_the_reference_are_answered_as_it_says(folder: Folder) -> None:
    folder.write(fenced("yaml")[-1])
    answer = complaints_of(folder.file, {"MIRROR__LOG__LEVEL": "loud"})
    assert fenced("text") == ["".join(f"{line}\n" for line in answer)]


@pytest.mark.parametrize(
    ("name", "url", "realm"),
    re.findall(r"^\| `(\S+)` \| `(https://\S+)` \| `(\S+)` \|$", REFERENCE, re.MULTILINE),
)
def test_what_the_reference_knows_by_name_is_known(
    folder: Folder, name: str, url: str, realm: str
) -> None:
    upstream = folder.load(f"upstreams: {{{name}: }}").upstreams[name]
    assert (upstream.url, upstream.realms) == (url, (realm,))


def test_the_models_describe_themselves_to_editors() -> None:
    schema = json.dumps(Config.model_json_schema())
    assert all(f'"{key.rpartition(".")[2]}"' in schema for key in KEYS if ANY_NAME not in key)
