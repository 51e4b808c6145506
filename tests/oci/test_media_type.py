import pytest

from mirror.oci import media_type as types

INDEXES = [types.OCI_INDEX, types.DOCKER_LIST]
SCHEMA1 = [types.SCHEMA1, types.SCHEMA1_SIGNED]
MANIFESTS = [types.OCI_MANIFEST, types.DOCKER_MANIFEST, types.OCI_ARTIFACT_MANIFEST]
FOREIGN = [
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
]
OTHERS = [
    types.OCI_CONFIG,
    types.DOCKER_CONFIG,
    types.OCI_EMPTY,
    types.OCI_LAYER_ZSTD,
    types.DOCKER_LAYER_GZIP,
    "application/json",
    "text/html",
    "",
]


@pytest.mark.parametrize("media_type", [*INDEXES, *SCHEMA1, *MANIFESTS, *FOREIGN, *OTHERS])
def test_each_type_is_of_its_kinds(media_type: str) -> None:
    assert types.is_index(media_type) == (media_type in INDEXES)
    assert types.is_schema1(media_type) == (media_type in SCHEMA1)
    assert types.is_manifest(media_type) == (media_type in [*INDEXES, *SCHEMA1, *MANIFESTS])
    assert types.is_foreign_layer(media_type) == (media_type in FOREIGN)


def test_upstreams_are_asked_for_every_current_type_and_nothing_vaguer() -> None:
    assert types.ACCEPTED == (
        "application/vnd.oci.image.index.v1+json, "
        "application/vnd.oci.image.manifest.v1+json, "
        "application/vnd.docker.distribution.manifest.list.v2+json, "
        "application/vnd.docker.distribution.manifest.v2+json"
    )


@pytest.mark.parametrize(
    ("content_type", "media_type"),
    [
        ("application/json", "application/json"),
        ("application/json; charset=utf-8", "application/json"),
        ("application/json;charset=utf-8", "application/json"),
        (" Application/JSON\t; a=b; c=d", "application/json"),
        (types.OCI_INDEX, types.OCI_INDEX),
        (types.OCI_INDEX.upper(), types.OCI_INDEX),
        ("", ""),
        (";", ""),
    ],
)
def test_parameters_and_case_do_not_make_another_type(content_type: str, media_type: str) -> None:
    assert types.bare(content_type) == media_type
