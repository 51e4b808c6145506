"""Manifests: what they are, what they refer to, and which of them may be stored.

The bytes of a manifest are its identity, so nothing here ever writes one.
https://github.com/opencontainers/image-spec/blob/v1.1.1/manifest.md
"""

from collections.abc import Iterable
from dataclasses import dataclass

from msgspec import Raw

from mirror.oci import media_type as types
from mirror.oci.digest import Digest, parse_digest
from mirror.oci.document import (
    MANIFEST_LIMIT,
    Document,
    WireDescriptor,
    WirePlatform,
    is_present,
    parse_descriptor,
    parse_document,
    parse_list,
    require_descriptor,
    require_document,
)
from mirror.oci.errors import DigestInvalid, ManifestInvalid, quoted

__all__ = [
    "MANIFEST_LIMIT",
    "Descriptor",
    "Manifest",
    "Platform",
    "References",
    "check_manifest",
    "check_references",
    "detect_media_type",
    "parse_references",
]

MOST_DESCRIPTORS = 10_000

_LONGEST_TEXT = 255


@dataclass(frozen=True, slots=True)
class Platform:
    os: str
    architecture: str
    variant: str | None = None

    def __str__(self) -> str:
        platform = f"{self.os}/{self.architecture}"
        return f"{platform}/{self.variant}" if self.variant else platform


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What content is, which it is, and how many bytes it has.

    ``media_type`` is empty where a proxied manifest does not name it.
    """

    media_type: str
    digest: Digest
    size: int
    platform: Platform | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """``content`` exactly as received; ``digest`` is that of ``content``, save for schema 1."""

    media_type: str
    digest: Digest
    content: bytes

    @property
    def size(self) -> int:
        return len(self.content)

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor(self.media_type, self.digest, self.size)


@dataclass(frozen=True, slots=True)
class References:
    """What a manifest needs.

    ``manifests`` are the children of an index. ``blobs`` are the config, then the layers, without
    foreign layers, which clients get elsewhere; of an index, what it lists that is no manifest.
    ``subject`` is what the manifest is about; it need not exist.
    """

    manifests: tuple[Descriptor, ...]
    blobs: tuple[Descriptor, ...]
    subject: Descriptor | None


def parse_references(manifest: Manifest) -> References | None:
    """What a proxied manifest refers to, as far as it can be understood; None if it is opaque.

    Never raises: clients judge the manifest, we pass it on. Malformed entries are left out.
    """
    document = parse_document(manifest.content)
    if document is None or types.is_schema1(manifest.media_type):
        return None
    try:
        return _read_references(manifest.media_type, document, strict=False)
    except ManifestInvalid:
        return None


def check_references(manifest: Manifest) -> References:
    """What a pushed manifest refers to. Raises ``ManifestInvalid`` if any entry is malformed, or
    if it calls itself anything else than what it was pushed as, which clients would refuse.
    """
    if types.is_schema1(manifest.media_type):
        raise ManifestInvalid("schema 1 manifests are retired, push an OCI or schema 2 manifest")
    document = require_document(manifest.content)
    if document.media_type and document.media_type != manifest.media_type:
        raise ManifestInvalid(
            f"the mediaType {quoted(document.media_type)} is not {manifest.media_type}, as which"
            " it was pushed"
        )
    if manifest.media_type in types.IMAGE_MANIFESTS and not is_present(document.config):
        raise ManifestInvalid("an image manifest needs a config")
    return _read_references(manifest.media_type, document, strict=True)


def detect_media_type(content: bytes) -> str | None:
    """The manifest type that the content itself tells, by ``mediaType`` or else by its shape.

    None if it is no manifest, or could be read as more than one kind.
    """
    try:
        document = require_document(content)
    except ManifestInvalid:
        return None
    if _is_ambiguous(document):
        return None
    if document.media_type:
        return document.media_type if types.is_manifest(document.media_type) else None
    if document.is_index:
        return types.OCI_INDEX
    if document.is_schema1:
        return types.SCHEMA1_SIGNED if is_present(document.signatures) else types.SCHEMA1
    return types.OCI_MANIFEST if document.is_image else None


def check_manifest(content: bytes, content_type: str | None) -> str:
    """The bare media type under which content from an upstream or a push may be stored.

    Raises ``ManifestInvalid`` for what is no manifest, and for what two readers could take for
    different things (CVE-2021-41190): an index that is also an image, a type that differs from
    the Content-Type, a key given twice. Descriptors are not looked at, and schema 1 passes: see
    ``check_references``.
    """
    document = require_document(content)
    media_type = _agree_media_type(document, content_type)
    _check_shape(document, media_type)
    _check_schema_version(document, media_type)
    return media_type


def _agree_media_type(document: Document, content_type: str | None) -> str:
    declared = types.bare(content_type) if content_type else ""
    inner = document.media_type or ""
    if not types.is_manifest(declared):
        if types.is_manifest(inner):
            return inner
        raise ManifestInvalid(
            f"neither the Content-Type {quoted(declared)} nor the mediaType {quoted(inner)}"
            " is that of a manifest"
        )
    if types.is_manifest(inner) and inner != declared:
        raise ManifestInvalid(
            f"the Content-Type says {quoted(declared)} and the mediaType {quoted(inner)}"
        )
    return declared


def _is_ambiguous(document: Document) -> bool:
    return document.is_index + document.is_image + document.is_schema1 > 1


def _check_shape(document: Document, media_type: str) -> None:
    if _is_ambiguous(document):
        raise ManifestInvalid("the document is an index and an image at once, which is ambiguous")
    if types.is_index(media_type) and (document.is_image or document.is_schema1):
        raise ManifestInvalid(f"an image cannot be sent as {media_type}")
    if not types.is_index(media_type) and document.is_index:
        raise ManifestInvalid(f"an index cannot be sent as {media_type}")


def _check_schema_version(document: Document, media_type: str) -> None:
    if media_type == types.OCI_ARTIFACT_MANIFEST and document.schema_version is None:
        return
    expected = 1 if types.is_schema1(media_type) else 2
    if document.schema_version != expected:
        raise ManifestInvalid(f"schemaVersion must be {expected} in {media_type}")


def _read_references(media_type: str, document: Document, *, strict: bool) -> References:
    subject = _read_one("subject", document.subject, strict=strict)
    if types.is_index(media_type):
        listed = _read_many("manifests", document.manifests, strict=strict)
        children = tuple(part for part in listed if _is_child(part))
        return References(children, _held(part for part in listed if not _is_child(part)), subject)
    if media_type == types.OCI_ARTIFACT_MANIFEST:
        blobs = _read_many("blobs", document.blobs, strict=strict)
    else:
        config = _read_one("config", document.config, strict=strict)
        layers = _read_many("layers", document.layers, strict=strict)
        blobs = (config, *layers) if config else layers
    return References((), _held(blobs), subject)


def _is_child(listed: Descriptor) -> bool:
    """Whether it is a manifest. BuildKit lists the layers of a build cache in an index."""
    return not listed.media_type or types.is_manifest(types.bare(listed.media_type))


def _held(blobs: Iterable[Descriptor]) -> tuple[Descriptor, ...]:
    return tuple(blob for blob in blobs if not types.is_foreign_layer(blob.media_type))


def _read_one(place: str, part: Raw, *, strict: bool) -> Descriptor | None:
    return _read_descriptor(place, part, strict=strict) if is_present(part) else None


def _read_many(place: str, part: Raw, *, strict: bool) -> tuple[Descriptor, ...]:
    parts = parse_list(part)
    if parts is None:
        raise ManifestInvalid(f"{place} must be a list")
    if len(parts) > MOST_DESCRIPTORS:
        raise ManifestInvalid(f"{place} has more than {MOST_DESCRIPTORS} descriptors")
    found = (
        _read_descriptor(f"{place}[{number}]", entry, strict=strict)
        for number, entry in enumerate(parts)
    )
    return tuple(descriptor for descriptor in found if descriptor is not None)


def _read_descriptor(place: str, part: Raw, *, strict: bool) -> Descriptor | None:
    """None for a malformed one, where it may be left out."""
    try:
        wire = require_descriptor(part) if strict else parse_descriptor(part)
        return None if wire is None else _describe(wire, typed=strict)
    except (DigestInvalid, ManifestInvalid) as error:
        if strict:
            raise ManifestInvalid(f"{place}: {error}") from error
        return None


def _describe(wire: WireDescriptor, *, typed: bool) -> Descriptor:
    if not _is_plain(wire.media_type) or (typed and not wire.media_type):
        raise ManifestInvalid(f"{quoted(wire.media_type)} is not a media type")
    digest = parse_digest(wire.digest)
    return Descriptor(wire.media_type, digest, wire.size, _read_platform(wire.platform))


def _read_platform(wire: WirePlatform | None) -> Platform | None:
    if wire is None or not (wire.os and wire.architecture):
        return None
    if not all(_is_plain(text) for text in (wire.os, wire.architecture, wire.variant or "")):
        return None
    return Platform(wire.os, wire.architecture, wire.variant or None)


def _is_plain(text: str) -> bool:
    """Fit for headers, terminals and databases."""
    return len(text) <= _LONGEST_TEXT and text.isascii() and text.isprintable()
