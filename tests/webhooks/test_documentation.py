"""The receiver in docs/webhooks.md accepts what is sent, and nothing else."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mirror.webhooks.envelope import MEDIA_TYPE, render
from mirror.webhooks.signature import signed
from tests.conformance.events import MOUNTED, MOVED
from tests.world import START

PAGE = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text()
[PROGRAM] = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
[EXAMPLE] = re.findall(r"^```json\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)

SECRET = b"s3cret"
NOW = START.timestamp()

IsGenuine = Callable[[Mapping[str, str], bytes, bytes, float], bool]
MovedImages = Callable[[bytes, set[str]], Iterator[tuple[str, str, str]]]


@pytest.fixture(scope="module")
def receiver() -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "receiver"}
    exec(compile(PROGRAM, "docs/webhooks.md", "exec"), names)  # noqa: S102 - it is ours
    return names


def test_it_accepts_what_is_sent(receiver: Mapping[str, Any]) -> None:
    is_genuine: IsGenuine = receiver["is_genuine"]
    body = render([MOVED], None)
    headers = signed(body, SECRET, START)
    assert is_genuine(headers, body, SECRET, NOW + 299)
    assert not is_genuine(headers, body, SECRET, NOW + 301), "sent again by somebody"
    assert not is_genuine(headers, body + b" ", SECRET, NOW)
    assert not is_genuine(headers, body, b"another", NOW)
    later = signed(body, b"another", START + timedelta(hours=1))
    forged = headers | {"X-Mirror-Timestamp": later["X-Mirror-Timestamp"]}
    assert not is_genuine(forged, body, SECRET, NOW + 3600)


def test_it_finds_what_has_moved_once(receiver: Mapping[str, Any]) -> None:
    moved_images: MovedImages = receiver["moved_images"]
    other = replace(MOVED, id="other")
    body = render([MOUNTED, MOVED, other], None)
    digest = str(MOVED.target.digest)
    assert list(moved_images(body, {"other"})) == [
        (MOVED.id, "docker.io/library/nginx:1.27", digest)
    ]


def test_the_example_has_the_fields_of_a_real_one() -> None:
    [example] = json.loads(EXAMPLE)["events"]
    [real] = json.loads(render([MOVED], "https://mirror.example.com"))["events"]
    assert example.keys() == real.keys()
    for part in ("target", "request", "actor", "source"):
        assert example[part].keys() == real[part].keys()


@pytest.mark.parametrize("header", signed(b"", b"", START))
def test_every_header_is_explained(header: str) -> None:
    assert f"| `{header}` |" in PAGE
    assert MEDIA_TYPE in PAGE
