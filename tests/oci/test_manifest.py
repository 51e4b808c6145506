"""What manifests refer to."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci import media_type as types
from mirror.oci.digest import digest_of
from mirror.oci.errors import ManifestInvalid
from mirror.oci.manifest import (
    Descriptor,
    Platform,
    References,
    check_manifest,
    check_references,
    detect_media_type,
    parse_references,
)
from tests.oci.manifests import (
    ARTIFACT,
    BARE_INDEX,
    CHILD,
    CONFIG,
    IMAGE,
    INDEX,
    LAYER,
    SCHEMA1,
    SUBJECT,
    Json,
    described,
    descriptor,
    manifest,
)


class TestReferences:
    def test_an_image_needs_its_config_first_and_its_layers(self) -> None:
        other = descriptor(b"other", types.OCI_LAYER_ZSTD)
        image = manifest(types.OCI_MANIFEST, IMAGE | {"layers": [LAYER, other]})

        assert parse_references(image) == References(
            manifests=(),
            blobs=(
                described(b"{}", types.OCI_CONFIG),
                described(b"layer", types.OCI_LAYER_GZIP),
                described(b"other", types.OCI_LAYER_ZSTD),
            ),
            subject=None,
        )

    def test_an_index_needs_its_children(self) -> None:
        index = manifest(types.DOCKER_LIST, BARE_INDEX)

        assert parse_references(index) == References(
            manifests=(described(b"child", types.OCI_MANIFEST, Platform("linux", "amd64")),),
            blobs=(),
            subject=None,
        )

    @pytest.mark.parametrize("media_type", [types.OCI_INDEX, types.DOCKER_LIST])
    def test_what_an_index_lists_and_is_no_manifest_is_a_blob(self, media_type: str) -> None:
        """So BuildKit keeps a build cache: its layers, and what it knows of them."""
        known = descriptor(b"cache", "application/vnd.buildkit.cacheconfig.v0")
        nested = descriptor(b"nested", types.OCI_INDEX)
        foreign = descriptor(b"foreign", types.OCI_FOREIGN_LAYER)
        listed = [LAYER, CHILD, foreign, nested, known]
        index = manifest(media_type, BARE_INDEX | {"manifests": listed})

        found = check_references(index)

        assert found == parse_references(index)
        assert [each.digest for each in found.manifests] == [
            *(digest_of(b"child"), digest_of(b"nested"))
        ]
        assert [each.digest for each in found.blobs] == [
            *(digest_of(b"layer"), digest_of(b"cache"))
        ]

    @pytest.mark.parametrize("media_type", [types.OCI_MANIFEST, types.OCI_INDEX])
    def test_a_subject_is_no_child(self, media_type: str) -> None:
        document = (IMAGE if media_type == types.OCI_MANIFEST else INDEX) | {"subject": SUBJECT}
        found = parse_references(manifest(media_type, document))

        assert found is not None
        assert found.subject == described(b"subject", types.OCI_MANIFEST)
        assert found.subject not in found.manifests + found.blobs

    def test_an_artifact_manifest_has_blobs_and_a_subject(self) -> None:
        artifact = manifest(types.OCI_ARTIFACT_MANIFEST, ARTIFACT | {"subject": SUBJECT})

        assert parse_references(artifact) == References(
            (),
            (described(b"layer", types.OCI_LAYER_GZIP),),
            described(b"subject", types.OCI_MANIFEST),
        )

    @pytest.mark.parametrize(
        "media_type",
        [
            types.OCI_FOREIGN_LAYER,
            types.OCI_FOREIGN_LAYER_GZIP,
            types.OCI_FOREIGN_LAYER_ZSTD,
            types.DOCKER_FOREIGN_LAYER,
            types.DOCKER_FOREIGN_LAYER_GZIP,
        ],
    )
    def test_foreign_layers_are_not_ours_to_hold(self, media_type: str) -> None:
        foreign = descriptor(b"foreign", media_type, urls=["http://169.254.169.254/"])
        image = manifest(types.OCI_MANIFEST, IMAGE | {"layers": [foreign, LAYER]})
        expected = (described(b"{}", types.OCI_CONFIG), described(b"layer", types.OCI_LAYER_GZIP))

        for found in (parse_references(image), check_references(image)):
            assert found is not None
            assert found.blobs == expected

    def test_the_declared_type_decides_what_is_read(self) -> None:
        both = INDEX | {"config": CONFIG, "layers": [LAYER]}

        index = parse_references(manifest(types.OCI_INDEX, both))
        image = parse_references(manifest(types.OCI_MANIFEST, both))

        assert index is not None
        assert image is not None
        assert (len(index.manifests), len(index.blobs)) == (1, 0)
        assert (len(image.manifests), len(image.blobs)) == (0, 2)

    @pytest.mark.parametrize("media_type", [types.SCHEMA1, types.SCHEMA1_SIGNED])
    def test_schema_1_is_opaque_and_cannot_be_pushed(self, media_type: str) -> None:
        old = manifest(media_type, SCHEMA1)

        assert parse_references(old) is None
        with pytest.raises(ManifestInvalid, match="retired"):
            check_references(old)

    @pytest.mark.parametrize(
        "document",
        [
            b"",
            b"<html>",
            b"[]",
            b"null",
            b"5",
            b'"text"',
            b"{",
            b"{} {}",
            b"\xef\xbb\xbf{}",
            b'{"schemaVersion":2,"layers":5}',
            b'{"schemaVersion":2,"layers":{}}',
            b'{"mediaType":5}',
            b'{"schemaVersion":' + b"9" * 5000 + b"}",
            b'{"layers":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
            b'{"x":' + b'{"x":' * 100_000 + b"1" + b"}" * 100_001,
            b'{"layers":[' + b",".join([b"{}"] * 1_000_000) + b"]}",
            b'{"layers":[' + b",".join([b"{}"] * 10_001) + b"]}",
            json.dumps(IMAGE).encode("utf-16"),
        ],
    )
    def test_what_cannot_be_read_is_opaque_and_cannot_be_pushed(self, document: bytes) -> None:
        unreadable = manifest(types.OCI_MANIFEST, document)

        assert parse_references(unreadable) is None
        with pytest.raises(ManifestInvalid):
            check_references(unreadable)

    @pytest.mark.parametrize(
        "malformed",
        [
            {},
            None,
            5,
            "text",
            [],
            LAYER | {"digest": "sha256:abc"},
            LAYER | {"digest": f"blake3:{'a' * 64}"},
            LAYER | {"digest": "../../etc/passwd"},
            LAYER | {"digest": None},
            LAYER | {"digest": str(LAYER["digest"]).upper()},
            LAYER | {"size": -1},
            LAYER | {"size": "5"},
            LAYER | {"size": 5.5},
            LAYER | {"size": True},
            LAYER | {"size": None},
            LAYER | {"size": 2**63},
            LAYER | {"size": 10**4000},
            LAYER | {"mediaType": 5},
            LAYER | {"mediaType": None},
            LAYER | {"mediaType": "a/b\r\nX: y"},
            LAYER | {"mediaType": "a/b\0"},
            LAYER | {"mediaType": "a/\u202e"},
            LAYER | {"mediaType": "a/é"},
            LAYER | {"mediaType": "a/" + "b" * 255},
            {"mediaType": "a/b", "size": 1},
            {"mediaType": "a/b", "digest": LAYER["digest"]},
        ],
    )
    def test_a_malformed_entry_is_left_out_of_proxied_and_refused_in_pushed_content(
        self, malformed: object
    ) -> None:
        image = manifest(types.OCI_MANIFEST, IMAGE | {"layers": [malformed, LAYER]})
        index = manifest(types.OCI_INDEX, INDEX | {"manifests": [malformed, CHILD]})
        about = manifest(types.OCI_INDEX, INDEX | {"subject": malformed})

        of_image = parse_references(image)
        of_index = parse_references(index)
        of_about = parse_references(about)

        assert of_image is not None
        assert [blob.digest for blob in of_image.blobs] == [digest_of(b"{}"), digest_of(b"layer")]
        assert of_index is not None
        assert [child.digest for child in of_index.manifests] == [digest_of(b"child")]
        assert of_about is not None
        assert of_about.subject is None
        for pushed in (image, index):
            with pytest.raises(ManifestInvalid, match=r"(layers|manifests)\[0\]: "):
                check_references(pushed)
        if malformed is not None:
            with pytest.raises(ManifestInvalid):
                check_references(about)

    @pytest.mark.parametrize("key", ["digest", "Digest", "mediaType", "mediatype", "size", "SIZE"])
    @pytest.mark.parametrize("place", ["config", "layers", "subject"])
    def test_a_pushed_descriptor_means_one_thing_to_every_reader(
        self, key: str, place: str
    ) -> None:
        again = json.dumps(LAYER)[:-1] + f', "{key}": {json.dumps(LAYER.get(key, "x"))}}}'
        listed = f"[{again}]" if place == "layers" else again
        written = json.dumps(IMAGE | {place: "?"}).replace('"?"', listed)
        image = manifest(types.OCI_MANIFEST, written.encode())

        with pytest.raises(ManifestInvalid, match=rf"^{place}.*: the key .*{key}"):
            check_references(image)

    def test_what_is_written_twice_elsewhere_is_nobodys_business(self) -> None:
        named = '{"Digest": "a", "digest": "b", "digest": "c"}'
        listed = json.dumps(LAYER | {"annotations": "?"}).replace('"?"', named)
        written = json.dumps(IMAGE | {"config": "?", "annotations": "!"})
        content = written.replace('"?"', listed).replace('"!"', named).encode()

        assert len(check_references(manifest(types.OCI_MANIFEST, content)).blobs) == 2

    def test_a_type_may_be_missing_from_proxied_content_only(self) -> None:
        untyped = {"digest": LAYER["digest"], "size": 5}
        image = manifest(types.OCI_MANIFEST, IMAGE | {"layers": [untyped]})

        found = parse_references(image)

        assert found is not None
        assert found.blobs[1] == described(b"layer", "")
        with pytest.raises(ManifestInvalid, match="is not a media type"):
            check_references(image)

    def test_a_pushed_image_needs_a_config(self) -> None:
        image = manifest(types.OCI_MANIFEST, {"schemaVersion": 2, "layers": [LAYER]})

        assert parse_references(image) is not None
        with pytest.raises(ManifestInvalid, match="needs a config"):
            check_references(image)

    @pytest.mark.parametrize("named", ["application/x-else", types.OCI_MANIFEST.upper()])
    def test_what_is_pushed_calls_itself_what_it_is(self, named: str) -> None:
        image = manifest(types.OCI_MANIFEST, IMAGE | {"mediaType": named})

        assert check_manifest(image.content, types.OCI_MANIFEST) == types.OCI_MANIFEST
        assert parse_references(image) is not None
        with pytest.raises(ManifestInvalid, match="as which it was pushed"):
            check_references(image)

    @pytest.mark.parametrize(
        ("media_type", "document"),
        [
            (types.OCI_MANIFEST, IMAGE | {"layers": []}),
            (types.OCI_MANIFEST, IMAGE | {"layers": None}),
            (types.OCI_MANIFEST, IMAGE | {"subject": None, "annotations": {"a": "b"}}),
            (types.OCI_MANIFEST, IMAGE | {"unknown": [1, {"deep": True}]}),
            (types.OCI_MANIFEST, IMAGE | {"layers": [LAYER | {"data": "bGF5ZXI=", "x": 1}]}),
            (types.OCI_MANIFEST, IMAGE | {"config": CONFIG | {"mediaType": "application/wasm"}}),
            (types.OCI_MANIFEST, IMAGE | {"layers": [LAYER, LAYER]}),
            (types.OCI_MANIFEST, IMAGE | {"layers": [LAYER | {"size": 0}]}),
            (types.OCI_INDEX, INDEX | {"manifests": []}),
            (types.OCI_INDEX, INDEX | {"manifests": None}),
            (types.OCI_INDEX, INDEX | {"manifests": [descriptor(b"i", types.OCI_INDEX)]}),
            (types.OCI_INDEX, INDEX | {"manifests": [descriptor(b"x", "application/x-anything")]}),
            (types.OCI_ARTIFACT_MANIFEST, ARTIFACT),
        ],
    )
    def test_unusual_and_legal_content_is_read_alike_from_everywhere(
        self, media_type: str, document: object
    ) -> None:
        pushed = manifest(media_type, document)

        assert check_manifest(pushed.content, media_type) == media_type
        assert check_references(pushed) == parse_references(pushed)

    def test_sha512_descriptors_are_read(self) -> None:
        digest = digest_of(b"layer", "sha512")
        layer = LAYER | {"digest": str(digest)}

        found = check_references(manifest(types.OCI_MANIFEST, IMAGE | {"layers": [layer]}))

        assert found.blobs[1].digest == digest

    def test_ten_thousand_descriptors_are_read(self) -> None:
        full = CHILD | {"annotations": {"vnd.docker.reference.type": "attestation-manifest"}}
        index = manifest(types.OCI_INDEX, INDEX | {"manifests": [full] * 10_000})

        assert len(check_references(index).manifests) == 10_000

    @given(st.recursive(st.none() | st.integers() | st.text(), st.lists))
    def test_proxied_content_never_fails(self, value: object) -> None:
        for key in ("config", "layers", "manifests", "subject", "mediaType", "blobs"):
            for media_type in (types.OCI_MANIFEST, types.OCI_INDEX, types.OCI_ARTIFACT_MANIFEST):
                parse_references(manifest(media_type, {"schemaVersion": 2, key: value}))

    @given(st.sampled_from([IMAGE, INDEX, ARTIFACT]), st.integers(0, 2000), st.binary(max_size=3))
    def test_damaged_content_never_fails(self, document: Json, at: int, damage: bytes) -> None:
        content = json.dumps(document).encode()
        position = at % len(content)
        damaged = content[:position] + damage + content[position + len(damage) :]

        for media_type in (types.OCI_MANIFEST, types.OCI_INDEX, types.OCI_ARTIFACT_MANIFEST):
            parse_references(manifest(media_type, damaged))
        detect_media_type(damaged)


class TestPlatform:
    @pytest.mark.parametrize(
        ("platform", "text"),
        [
            ({"os": "linux", "architecture": "arm64", "variant": "v8"}, "linux/arm64/v8"),
            ({"os": "linux", "architecture": "amd64"}, "linux/amd64"),
            ({"os": "linux", "architecture": "amd64", "variant": ""}, "linux/amd64"),
            ({"os": "linux", "architecture": "amd64", "variant": None}, "linux/amd64"),
            ({"os": "unknown", "architecture": "unknown"}, "unknown/unknown"),
            (
                {"os": "windows", "architecture": "amd64", "os.version": "10.0", "os.features": []},
                "windows/amd64",
            ),
            ({"os": "linux"}, "None"),
            ({}, "None"),
            (None, "None"),
            ({"os": "linux\x1b[2J", "architecture": "amd64"}, "None"),
            ({"os": "linux", "architecture": "amd64\0"}, "None"),
            ({"os": "linux", "architecture": "amd64", "variant": "x" * 256}, "None"),
        ],
    )
    def test_a_platform_is_what_is_fit_to_print(self, platform: object, text: str) -> None:
        child = CHILD | {"platform": platform}
        found = check_references(manifest(types.OCI_INDEX, INDEX | {"manifests": [child]}))

        assert str(found.manifests[0].platform) == text


class TestManifest:
    def test_a_manifest_describes_itself(self) -> None:
        image = manifest(types.OCI_MANIFEST, IMAGE)

        assert image.size == len(image.content)
        assert image.descriptor == Descriptor(image.media_type, image.digest, image.size)
