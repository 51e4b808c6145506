"""Lists of referrers: what is kept of them, and that it is kept as it was."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci.digest import parse_digest
from mirror.oci.manifest import Descriptor
from mirror.oci.media_type import OCI_INDEX, OCI_MANIFEST
from mirror.oci.referrers import (
    describe_referrer,
    parse_referrers,
    referrers_tag,
    render_referrers,
)

DIGEST = f"sha256:{'a' * 64}"
OTHER = f"sha512:{'b' * 128}"
SIGNATURE = "application/vnd.dev.sigstore.bundle.v0.3+json"


def entry(digest: str = DIGEST, **more: object) -> dict[str, object]:
    return {"mediaType": OCI_MANIFEST, "digest": digest, "size": 7, **more}


def listing(*entries: object, **more: object) -> bytes:
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries, **more}
    return json.dumps(document).encode()


def test_entries_are_passed_on_with_all_they_say() -> None:
    entries = (
        entry(artifactType=SIGNATURE, annotations={"a": "b é 🐋"}, platform={"os": "x"}),
        entry(OTHER, unknown={"to": ["us", None, 1.50]}),
    )

    referrers = parse_referrers(listing(*entries))

    assert referrers is not None
    assert [str(referrer.digest) for referrer in referrers] == [DIGEST, OTHER]
    assert [referrer.artifact_type for referrer in referrers] == [SIGNATURE, ""]
    assert json.loads(render_referrers(referrers)) == json.loads(listing(*entries))
    assert parse_referrers(render_referrers(referrers)) == referrers


def test_none_are_an_index_too() -> None:
    assert json.loads(render_referrers(())) == {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [],
    }


@pytest.mark.parametrize(
    "malformed",
    [
        None,
        "text",
        {},
        entry("sha256:short"),
        entry("md5:abc"),
        entry(size=-1),
        entry(size="7"),
        entry(mediaType=None),
        entry(artifactType=1),
    ],
)
def test_malformed_entries_are_left_out(malformed: object) -> None:
    referrers = parse_referrers(listing(malformed, entry()))
    assert referrers is not None
    assert [str(referrer.digest) for referrer in referrers] == [DIGEST]


def test_what_is_not_utf8_is_not_passed_on() -> None:
    spoiled = listing(entry(annotations={"a": "XX"}), entry(OTHER)).replace(b"XX", b"\xff\xfe")
    referrers = parse_referrers(spoiled)
    assert referrers is not None
    assert [str(referrer.digest) for referrer in referrers] == [OTHER]


@pytest.mark.parametrize(
    ("content", "count"),
    [
        (listing(), 0),
        (json.dumps({"mediaType": OCI_INDEX, "manifests": None}).encode(), 0),
        (json.dumps({"manifests": [entry()]}).encode(), 1),
    ],
)
def test_lists_of_lazy_writers(content: bytes, count: int) -> None:
    referrers = parse_referrers(content)
    assert referrers is not None
    assert len(referrers) == count


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>", b"[]", b"{}", b'{"manifests":{}}', b'{"errors":[]}', listing(entry())[:-3]],
)
def test_what_is_no_list(content: bytes) -> None:
    assert parse_referrers(content) is None


@given(st.binary() | st.binary().map(lambda inner: b'{"manifests":[' + inner + b"]}"))
def test_whatever_is_read_can_be_passed_on(content: bytes) -> None:
    referrers = parse_referrers(content)
    if referrers is not None:
        json.loads(render_referrers(referrers))


PUSHED = Descriptor(OCI_MANIFEST, parse_digest(DIGEST), 7)
CONFIG = {"mediaType": "application/vnd.example.config", "digest": OTHER, "size": 2}


@pytest.mark.parametrize(
    ("manifest", "expected"),
    [
        ({}, {}),
        ({"artifactType": SIGNATURE}, {"artifactType": SIGNATURE}),
        ({"artifactType": SIGNATURE, "config": CONFIG}, {"artifactType": SIGNATURE}),
        ({"artifactType": "", "config": CONFIG}, {"artifactType": CONFIG["mediaType"]}),
        ({"artifactType": None, "config": CONFIG}, {"artifactType": CONFIG["mediaType"]}),
        ({"config": None}, {}),
        ({"config": {}}, {}),
        ({"config": 1, "annotations": {"a": "é 🐋"}}, {"annotations": {"a": "é 🐋"}}),
        ({"annotations": {}}, {}),
        ({"annotations": {"a": 1}}, {}),
        ({"annotations": ["a"], "artifactType": SIGNATURE}, {"artifactType": SIGNATURE}),
        ({"artifactType": 1}, {}),
    ],
)
def test_a_manifest_is_described_as_far_as_it_is_well_formed(
    manifest: object, expected: dict[str, object]
) -> None:
    referrer = describe_referrer(PUSHED, json.dumps(manifest).encode())
    assert json.loads(referrer.content) == {**entry(), **expected}
    assert referrer.artifact_type == expected.get("artifactType", "")
    assert referrer.digest == PUSHED.digest
    assert parse_referrers(render_referrers([referrer])) == (referrer,)


@given(st.binary() | st.text().map(str.encode))
def test_anything_can_be_described(content: bytes) -> None:
    assert json.loads(describe_referrer(PUSHED, content).content)["digest"] == DIGEST


@pytest.mark.parametrize(
    ("subject", "tag"),
    [(DIGEST, f"sha256-{'a' * 64}"), (OTHER, f"sha512-{'b' * 64}")],
)
def test_the_tag_for_a_list_that_clients_keep(subject: str, tag: str) -> None:
    assert referrers_tag(parse_digest(subject)).value == tag
