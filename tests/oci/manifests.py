"""Small manifests of every kind, and how to make more of them."""

import json

from mirror.oci import media_type as types
from mirror.oci.digest import digest_of
from mirror.oci.manifest import Descriptor, Manifest, Platform

Json = dict[str, object]


def descriptor(content: bytes, media_type: str, **more: object) -> Json:
    digest = str(digest_of(content))
    return {"mediaType": media_type, "digest": digest, "size": len(content), **more}


def described(content: bytes, media_type: str, platform: Platform | None = None) -> Descriptor:
    return Descriptor(media_type, digest_of(content), len(content), platform)


def manifest(media_type: str, document: object) -> Manifest:
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Manifest(media_type, digest_of(content), content)


CONFIG = descriptor(b"{}", types.OCI_CONFIG)
LAYER = descriptor(b"layer", types.OCI_LAYER_GZIP)
CHILD = descriptor(b"child", types.OCI_MANIFEST, platform={"os": "linux", "architecture": "amd64"})
SUBJECT = descriptor(b"subject", types.OCI_MANIFEST)
IMAGE: Json = {
    "schemaVersion": 2,
    "mediaType": types.OCI_MANIFEST,
    "config": CONFIG,
    "layers": [LAYER],
}
INDEX: Json = {"schemaVersion": 2, "mediaType": types.OCI_INDEX, "manifests": [CHILD]}
SCHEMA1: Json = {"schemaVersion": 1, "name": "a", "tag": "b", "fsLayers": [{"blobSum": "c"}]}
ARTIFACT: Json = {"mediaType": types.OCI_ARTIFACT_MANIFEST, "artifactType": "a/b", "blobs": [LAYER]}
BARE_IMAGE: Json = {"schemaVersion": 2, "config": CONFIG, "layers": [LAYER]}
BARE_INDEX: Json = {"schemaVersion": 2, "manifests": [CHILD]}
AMBIGUOUS = [
    IMAGE | {"manifests": [CHILD]},
    INDEX | {"layers": [LAYER]},
    INDEX | {"config": CONFIG},
    INDEX | {"fsLayers": []},
    IMAGE | {"fsLayers": []},
    INDEX | {"layers": []},
    BARE_IMAGE | {"manifests": []},
]
