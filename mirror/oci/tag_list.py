"""The list of a repository's tags, as registries send it.

https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#listing-tags
"""

import msgspec
from msgspec import Raw

from mirror.oci.errors import TagInvalid
from mirror.oci.reference import Tag, parse_tag

MOST_TAGS = 200_000
"""More than that, at once or in all pages, are no list of tags."""


class _TagList(msgspec.Struct, frozen=True):
    """Some registries say far more than that."""

    tags: Raw


_lists = msgspec.json.Decoder(_TagList)
_names = msgspec.json.Decoder(list[str] | None)


def parse_tag_list(content: bytes) -> tuple[Tag, ...] | None:
    """The tags in their order, without those that could not be asked for; None: it is no such list.

    Of a repository without tags some registries say ``null``.
    """
    try:
        listed = _lists.decode(content).tags
        # Counted before it is read: of short names, each costs twenty times its length.
        if bytes(listed).count(b",") >= MOST_TAGS:
            return None
        names = _names.decode(listed)
    except (ValueError, RecursionError):
        return None
    tags = (_tag(name) for name in names or ())
    return tuple(tag for tag in tags if tag is not None)


def _tag(name: str) -> Tag | None:
    try:
        return parse_tag(name)
    except TagInvalid:
        return None
