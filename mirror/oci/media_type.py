"""The media types that mean something to a registry. Any other type is a blob's own business.

https://github.com/opencontainers/image-spec/blob/v1.1.1/media-types.md
"""

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_ARTIFACT_MANIFEST = "application/vnd.oci.artifact.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = f"{OCI_LAYER}+gzip"
OCI_LAYER_ZSTD = f"{OCI_LAYER}+zstd"
OCI_FOREIGN_LAYER = "application/vnd.oci.image.layer.nondistributable.v1.tar"
OCI_FOREIGN_LAYER_GZIP = f"{OCI_FOREIGN_LAYER}+gzip"
OCI_FOREIGN_LAYER_ZSTD = f"{OCI_FOREIGN_LAYER}+zstd"

DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP = f"{DOCKER_LAYER}.gzip"
DOCKER_LAYER_ZSTD = f"{DOCKER_LAYER}.zstd"
DOCKER_FOREIGN_LAYER = "application/vnd.docker.image.rootfs.foreign.diff.tar"
DOCKER_FOREIGN_LAYER_GZIP = f"{DOCKER_FOREIGN_LAYER}.gzip"

SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+json"
SCHEMA1_SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws"

# Without all four, or with */*, old registries hand out schema 1 or one platform of their choice.
ACCEPTED = f"{OCI_INDEX}, {OCI_MANIFEST}, {DOCKER_LIST}, {DOCKER_MANIFEST}"

IMAGE_MANIFESTS = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})

_INDEXES = frozenset({OCI_INDEX, DOCKER_LIST})
_SCHEMA1 = frozenset({SCHEMA1, SCHEMA1_SIGNED})
_MANIFESTS = IMAGE_MANIFESTS | _INDEXES | _SCHEMA1 | {OCI_ARTIFACT_MANIFEST}
_FOREIGN_LAYERS = frozenset(
    {
        OCI_FOREIGN_LAYER,
        OCI_FOREIGN_LAYER_GZIP,
        OCI_FOREIGN_LAYER_ZSTD,
        DOCKER_FOREIGN_LAYER,
        DOCKER_FOREIGN_LAYER_GZIP,
    }
)


def is_index(media_type: str) -> bool:
    """A manifest of manifests: an OCI index or a Docker manifest list."""
    return media_type in _INDEXES


def is_manifest(media_type: str) -> bool:
    """Anything served under ``/manifests/``, indexes and the retired kinds included."""
    return media_type in _MANIFESTS


def is_schema1(media_type: str) -> bool:
    """Docker's first format, whose digest is not that of its bytes."""
    return media_type in _SCHEMA1


def is_foreign_layer(media_type: str) -> bool:
    """A layer that clients get from elsewhere and that no registry needs to hold."""
    return media_type in _FOREIGN_LAYERS


def bare(content_type: str) -> str:
    """A Content-Type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip(" \t").lower()
