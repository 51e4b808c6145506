"""The JSON of a manifest, read within bounds and taken apart no further than needed.

What the parts mean is told by ``mirror.oci.manifest``.
"""

import json
from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta, Raw, field

from mirror.oci.errors import ManifestInvalid, quoted

MANIFEST_LIMIT = 4 * 1024 * 1024
"""Bytes of the largest manifest that clients are sure to take."""

# Twenty for each of the most descriptors there may be, one in twenty bytes of the largest manifest.
# Without it, 4 MiB of "{},{},{}" take seconds and hundreds of megabytes.
_MOST_TOKENS = 200_000
_LARGEST_SIZE = 2**63 - 1
_ABSENT = Raw(b"")
_NULL = Raw(b"null")


class Document(msgspec.Struct, frozen=True):
    """The top level of any kind of manifest; lists and descriptors are still JSON text."""

    media_type: str | None = field(default=None, name="mediaType")
    schema_version: int | None = field(default=None, name="schemaVersion")
    manifests: Raw = _ABSENT
    config: Raw = _ABSENT
    layers: Raw = _ABSENT
    blobs: Raw = _ABSENT
    subject: Raw = _ABSENT
    fs_layers: Raw = field(default=_ABSENT, name="fsLayers")
    signatures: Raw = _ABSENT

    @property
    def is_index(self) -> bool:
        return is_present(self.manifests)

    @property
    def is_image(self) -> bool:
        return is_present(self.config) or is_present(self.layers)

    @property
    def is_schema1(self) -> bool:
        return is_present(self.fs_layers)


class WirePlatform(msgspec.Struct, frozen=True):
    os: str = ""
    architecture: str = ""
    variant: str | None = None


class WireDescriptor(msgspec.Struct, frozen=True):
    """A descriptor as it was sent, of the right types but of any content."""

    digest: str
    size: Annotated[int, Meta(ge=0, le=_LARGEST_SIZE)]
    media_type: str = field(default="", name="mediaType")
    platform: WirePlatform | None = None


_documents = msgspec.json.Decoder(Document)
_descriptors = msgspec.json.Decoder(WireDescriptor)
_lists = msgspec.json.Decoder(list[Raw])

# Go matches keys in any case, so a client could see a key where we see none.
_GUARDED = {
    name.casefold(): name
    for name in (
        *("mediaType", "schemaVersion", "manifests", "config"),
        *("layers", "blobs", "subject", "fsLayers"),
    )
}
_GUARDED_IN_DESCRIPTORS = {name.casefold(): name for name in ("mediaType", "digest", "size")}


def is_present(part: Raw) -> bool:
    """Whether there is something to read; null is what some writers call an empty list."""
    return part not in (_ABSENT, _NULL)


def parse_document(content: bytes) -> Document | None:
    """None for what is no JSON object, has members of wrong types, or is beyond our bounds."""
    if not _is_bounded(content):
        return None
    try:
        return _documents.decode(content)
    except (ValueError, RecursionError):
        return None


def require_document(content: bytes) -> Document:
    """As ``parse_document``, for content that every reader must understand in the same way.

    Raises ``ManifestInvalid``, also for invalid UTF-8 and for top-level keys that are repeated or
    differ in case only.
    """
    if len(content) > MANIFEST_LIMIT:
        raise ManifestInvalid(f"manifest is larger than {MANIFEST_LIMIT} bytes")
    if not _is_bounded(content):
        raise ManifestInvalid(f"manifest has more than {_MOST_TOKENS} objects, lists and members")
    document = parse_document(content)
    if document is None:
        raise ManifestInvalid("manifest is not a JSON object as the specification describes it")
    _check_keys(content, _GUARDED)
    return document


def parse_list(part: Raw) -> list[Raw] | None:
    """The elements of a JSON array; none where it is absent. None if it is no array."""
    if not is_present(part):
        return []
    try:
        return _lists.decode(part)
    except (ValueError, RecursionError):
        return None


def parse_descriptor(part: Raw) -> WireDescriptor | None:
    """None if members are missing, of wrong types or out of range."""
    try:
        return _descriptors.decode(part)
    except (ValueError, RecursionError):
        return None


def require_descriptor(part: Raw) -> WireDescriptor:
    """As ``parse_descriptor``, for one that every reader must understand in the same way.

    Raises ``ManifestInvalid``, also for keys that are repeated or differ in case only.
    """
    descriptor = parse_descriptor(part)
    if descriptor is None:
        raise ManifestInvalid("needs a mediaType, a digest and a size that is not negative")
    _check_keys(bytes(part), _GUARDED_IN_DESCRIPTORS)
    return descriptor


def _is_bounded(content: bytes) -> bool:
    if len(content) > MANIFEST_LIMIT:
        return False
    return content.count(b",") + content.count(b"[") + content.count(b"{") <= _MOST_TOKENS


def _check_keys(content: bytes, guarded: Mapping[str, str]) -> None:
    seen: set[str] = set()
    for key in _read_keys(content):
        name = guarded.get(key.casefold())
        if name is None:
            continue
        if key != name:
            raise ManifestInvalid(f"the key {quoted(key)} must be written {name}")
        if name in seen:
            raise ManifestInvalid(f"the key {name} is given twice, which is ambiguous")
        seen.add(name)


def _read_keys(content: bytes) -> list[str]:
    """The outermost keys with their repetitions, of which typed parsing shows only the last."""
    try:
        keys: list[str] = json.loads(
            content.decode(),
            object_pairs_hook=lambda pairs: [key for key, _ in pairs],
            parse_int=str,
            parse_float=str,
        )
    except (ValueError, RecursionError) as error:
        raise ManifestInvalid("manifest is not JSON in valid UTF-8") from error
    return keys
