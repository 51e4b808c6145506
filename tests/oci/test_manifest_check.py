"""Which manifests may be stored, and as what."""

import json

import pytest

from mirror.oci import media_type as types
from mirror.oci.errors import ManifestInvalid
from mirror.oci.manifest import MANIFEST_LIMIT, check_manifest, detect_media_type
from tests.oci.manifests import (
    AMBIGUOUS,
    ARTIFACT,
    BARE_IMAGE,
    BARE_INDEX,
    IMAGE,
    INDEX,
    SCHEMA1,
    Json,
)


class TestDetection:
    @pytest.mark.parametrize(
        ("document", "media_type"),
        [
            (IMAGE, types.OCI_MANIFEST),
            (INDEX, types.OCI_INDEX),
            (IMAGE | {"mediaType": types.DOCKER_MANIFEST}, types.DOCKER_MANIFEST),
            (INDEX | {"mediaType": types.DOCKER_LIST}, types.DOCKER_LIST),
            (ARTIFACT, types.OCI_ARTIFACT_MANIFEST),
            (BARE_IMAGE, types.OCI_MANIFEST),
            (BARE_INDEX, types.OCI_INDEX),
            (SCHEMA1, types.SCHEMA1),
            (SCHEMA1 | {"signatures": [{}]}, types.SCHEMA1_SIGNED),
            ({"schemaVersion": 2}, None),
            ({"errors": []}, None),
            (IMAGE | {"mediaType": "application/x-else"}, None),
            ([], None),
        ],
    )
    def test_content_tells_its_type(self, document: object, media_type: str | None) -> None:
        assert detect_media_type(json.dumps(document).encode()) == media_type

    @pytest.mark.parametrize("document", AMBIGUOUS)
    def test_ambiguous_content_tells_nothing(self, document: object) -> None:
        assert detect_media_type(json.dumps(document).encode()) is None

    @pytest.mark.parametrize("content", [b"", b"<html>", b"\xff", b'{"mediaType":5}'])
    def test_what_is_no_manifest_tells_nothing(self, content: bytes) -> None:
        assert detect_media_type(content) is None


class TestCheck:
    @pytest.mark.parametrize(
        ("document", "content_type", "media_type"),
        [
            (IMAGE, types.OCI_MANIFEST, types.OCI_MANIFEST),
            (IMAGE, f"{types.OCI_MANIFEST}; charset=utf-8", types.OCI_MANIFEST),
            (IMAGE, types.OCI_MANIFEST.upper(), types.OCI_MANIFEST),
            (IMAGE, None, types.OCI_MANIFEST),
            (IMAGE, "", types.OCI_MANIFEST),
            (IMAGE, "application/json", types.OCI_MANIFEST),
            (IMAGE, "text/html", types.OCI_MANIFEST),
            (BARE_IMAGE, types.OCI_MANIFEST, types.OCI_MANIFEST),
            (BARE_IMAGE, types.DOCKER_MANIFEST, types.DOCKER_MANIFEST),
            (BARE_INDEX, types.OCI_INDEX, types.OCI_INDEX),
            (BARE_INDEX, types.DOCKER_LIST, types.DOCKER_LIST),
            (SCHEMA1, types.SCHEMA1_SIGNED, types.SCHEMA1_SIGNED),
            (ARTIFACT, types.OCI_ARTIFACT_MANIFEST, types.OCI_ARTIFACT_MANIFEST),
            (IMAGE | {"manifests": None}, types.OCI_MANIFEST, types.OCI_MANIFEST),
        ],
    )
    def test_the_type_to_store(
        self, document: object, content_type: str | None, media_type: str
    ) -> None:
        assert check_manifest(json.dumps(document).encode(), content_type) == media_type

    @pytest.mark.parametrize("document", AMBIGUOUS)
    @pytest.mark.parametrize(
        "content_type", [types.OCI_INDEX, types.OCI_MANIFEST, types.SCHEMA1, None]
    )
    def test_an_index_that_is_also_an_image_is_refused(
        self, document: Json, content_type: str | None
    ) -> None:
        bare = {key: value for key, value in document.items() if key != "mediaType"}

        with pytest.raises(ManifestInvalid):
            check_manifest(json.dumps(document).encode(), content_type)
        if content_type is not None:
            with pytest.raises(ManifestInvalid, match="ambiguous"):
                check_manifest(json.dumps(bare).encode(), content_type)

    @pytest.mark.parametrize(
        ("document", "content_type", "reason"),
        [
            (IMAGE, types.DOCKER_MANIFEST, "the Content-Type says .* and the mediaType"),
            (IMAGE, types.OCI_INDEX, "the Content-Type says .* and the mediaType"),
            (BARE_IMAGE, types.OCI_INDEX, "an image cannot be sent as"),
            (BARE_IMAGE, types.DOCKER_LIST, "an image cannot be sent as"),
            (BARE_INDEX, types.OCI_MANIFEST, "an index cannot be sent as"),
            (BARE_INDEX | {"schemaVersion": 1}, types.SCHEMA1, "an index cannot be sent as"),
            (SCHEMA1, types.OCI_INDEX, "an image cannot be sent as"),
            (SCHEMA1, types.OCI_MANIFEST, "schemaVersion must be 2"),
            (BARE_IMAGE, "text/html", "neither the Content-Type 'text/html' nor the mediaType ''"),
            (BARE_IMAGE, "application/json", "neither"),
            (BARE_IMAGE, None, "neither"),
            (IMAGE | {"mediaType": "text/html"}, None, "neither"),
            (IMAGE | {"schemaVersion": 3}, None, "schemaVersion must be 2"),
            (IMAGE | {"schemaVersion": 0}, None, "schemaVersion must be 2"),
            (IMAGE | {"schemaVersion": 1}, None, "schemaVersion must be 2"),
            (IMAGE | {"schemaVersion": None}, None, "schemaVersion must be 2"),
            (IMAGE | {"schemaVersion": "2"}, None, "not a JSON object as"),
            (SCHEMA1 | {"schemaVersion": 2}, types.SCHEMA1, "schemaVersion must be 1"),
            (ARTIFACT | {"schemaVersion": 7}, None, "schemaVersion must be 2"),
            ({"errors": []}, types.OCI_MANIFEST, "schemaVersion must be 2"),
            ([], types.OCI_MANIFEST, "not a JSON object"),
        ],
    )
    def test_a_refusal_gives_the_reason(
        self, document: object, content_type: str | None, reason: str
    ) -> None:
        with pytest.raises(ManifestInvalid, match=reason):
            check_manifest(json.dumps(document).encode(), content_type)

    def test_a_login_page_is_no_manifest(self) -> None:
        with pytest.raises(ManifestInvalid):
            check_manifest(b"<!doctype html><title>Log in</title>", "text/html; charset=utf-8")

    def test_hostile_types_are_quoted(self) -> None:
        with pytest.raises(ManifestInvalid) as caught:
            check_manifest(json.dumps({"mediaType": "\x1b[2J\r\n" * 1000}).encode(), "a\x07")

        assert caught.value.message.isprintable()
        assert len(caught.value.message) < 500

    def test_a_manifest_at_the_limit_passes_and_one_byte_more_does_not(self) -> None:
        content = json.dumps(IMAGE).encode().ljust(MANIFEST_LIMIT)

        assert check_manifest(content, None) == types.OCI_MANIFEST
        with pytest.raises(ManifestInvalid, match="larger than 4194304 bytes"):
            check_manifest(content + b" ", None)

    def test_large_annotations_pass(self) -> None:
        annotations = {f"org.example.{number}": "x" * 10_000 for number in range(390)}
        content = json.dumps(IMAGE | {"annotations": annotations}).encode()

        assert check_manifest(content, types.OCI_MANIFEST) == types.OCI_MANIFEST
