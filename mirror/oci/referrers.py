"""Lists of what refers to a manifest: signatures, attestations, bills of materials.

https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#listing-referrers
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta, Raw, field

from mirror.oci.digest import Digest, parse_digest
from mirror.oci.document import parse_document, parse_list
from mirror.oci.errors import DigestInvalid
from mirror.oci.media_type import OCI_INDEX


@dataclass(frozen=True, slots=True)
class Referrer:
    """One entry: ``content`` is its descriptor as JSON, with annotations and all, as it was sent.

    ``artifact_type`` is empty where it names none.
    """

    digest: Digest
    artifact_type: str
    content: bytes


class _Wire(msgspec.Struct, frozen=True):
    digest: str
    size: Annotated[int, Meta(ge=0)]
    media_type: str = field(name="mediaType")
    artifact_type: str | None = field(default=None, name="artifactType")


class _Index(msgspec.Struct, frozen=True):
    schema_version: int = field(name="schemaVersion")
    media_type: str = field(name="mediaType")
    manifests: list[Raw]


_entries = msgspec.json.Decoder(_Wire)


def parse_referrers(content: bytes) -> tuple[Referrer, ...] | None:
    """The entries in their order, without malformed ones; None: it is no such list."""
    document = parse_document(content)
    if document is None or not (document.is_index or document.media_type == OCI_INDEX):
        return None
    parts = parse_list(document.manifests)
    if parts is None:
        return None
    referrers = (_referrer(bytes(part)) for part in parts)
    return tuple(referrer for referrer in referrers if referrer is not None)


def render_referrers(referrers: Iterable[Referrer]) -> bytes:
    """An OCI index of them."""
    entries = [Raw(referrer.content) for referrer in referrers]
    return msgspec.json.encode(_Index(2, OCI_INDEX, entries))


def _referrer(content: bytes) -> Referrer | None:
    try:
        content.decode()  # what is skipped while parsing is not checked for that
        wire = _entries.decode(content)
        return Referrer(parse_digest(wire.digest), wire.artifact_type or "", content)
    except (ValueError, RecursionError, DigestInvalid):
        return None
