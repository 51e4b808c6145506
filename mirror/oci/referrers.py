"""Lists of what refers to a manifest: signatures, attestations, bills of materials.

https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#listing-referrers
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta, Raw, field

from mirror.oci.digest import Digest, parse_digest
from mirror.oci.document import is_present, parse_document, parse_list
from mirror.oci.errors import DigestInvalid
from mirror.oci.manifest import Descriptor
from mirror.oci.media_type import OCI_INDEX
from mirror.oci.reference import Tag


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


class _Described(msgspec.Struct, frozen=True):
    """What a manifest says of itself."""

    artifact_type: str | None = field(default=None, name="artifactType")
    config: Raw = Raw(b"")
    annotations: Raw = Raw(b"")


class _Config(msgspec.Struct, frozen=True):
    media_type: str = field(name="mediaType")


class _Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A descriptor as we write it; the first three are always there."""

    media_type: str = field(name="mediaType")
    digest: str
    size: int
    artifact_type: str | None = field(default=None, name="artifactType")
    annotations: dict[str, str] | None = None


_entries = msgspec.json.Decoder(_Wire)
_described = msgspec.json.Decoder(_Described)
_configs = msgspec.json.Decoder(_Config)
_annotations = msgspec.json.Decoder(dict[str, str])

_LONGEST_ALGORITHM = 32
_LONGEST_ENCODED = 64


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


def describe_referrer(descriptor: Descriptor, content: bytes) -> Referrer:
    """The entry for a manifest, with what it says of itself as far as that is well formed."""
    try:
        described = _described.decode(content)
    except (ValueError, RecursionError):
        described = _Described()
    artifact_type = described.artifact_type or _config_type(described.config)
    entry = _Entry(
        descriptor.media_type,
        str(descriptor.digest),
        descriptor.size,
        artifact_type or None,
        _read_annotations(described.annotations) or None,
    )
    return Referrer(descriptor.digest, artifact_type, msgspec.json.encode(entry))


def referrers_tag(subject: Digest) -> Tag:
    """The tag under which clients keep the list themselves, where a registry does not.

    https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#referrers-tag-schema
    """
    algorithm = subject.algorithm[:_LONGEST_ALGORITHM]
    return Tag(f"{algorithm}-{subject.encoded[:_LONGEST_ENCODED]}")


def _config_type(part: Raw) -> str:
    """What an image is where it does not say so; an index has no config."""
    if not is_present(part):
        return ""
    try:
        return _configs.decode(part).media_type
    except (ValueError, RecursionError):
        return ""


def _read_annotations(part: Raw) -> dict[str, str]:
    if not is_present(part):
        return {}
    try:
        return _annotations.decode(part)
    except (ValueError, RecursionError):
        return {}


def _referrer(content: bytes) -> Referrer | None:
    try:
        content.decode()  # what is skipped while parsing is not checked for that
        wire = _entries.decode(content)
        return Referrer(parse_digest(wire.digest), wire.artifact_type or "", content)
    except (ValueError, RecursionError, DigestInvalid):
        return None
