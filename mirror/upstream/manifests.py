"""Reading what a registry answers about manifests. The bytes decide, headers only hint."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus

from mirror.oci import media_type as types
from mirror.oci.digest import Digest, digest_of, parse_digest
from mirror.oci.errors import DigestInvalid, ManifestInvalid
from mirror.oci.manifest import MANIFEST_LIMIT, Descriptor, Manifest, check_manifest
from mirror.upstream.connection import Connection
from mirror.upstream.redirect import Answer
from mirror.upstream.verdict import Verdict

_GZIP_WINDOW = 31
_MOST_DIGITS = 18


@dataclass(frozen=True, slots=True)
class Unclear:
    """The answer to a HEAD that does not tell what a GET would bring."""


class ManifestReader:
    """Makes values of answers under ``/manifests/``; everything it returns was verified."""

    def __init__(self, connection: Connection, verdict: Verdict) -> None:
        self._connection = connection
        self._verdict = verdict

    async def described(self, answer: Answer) -> Descriptor | Unclear | None:
        """What a HEAD says; None when it says that there is nothing."""
        answer.close()
        if answer.status == HTTPStatus.NOT_FOUND:
            return None
        return (answer.status == HTTPStatus.OK and describe(answer)) or Unclear()

    async def received(self, answer: Answer, expected: Digest | None) -> Manifest | None:
        """What a GET brought; None when it says that there is nothing.

        Raises UpstreamInvalid for what is no manifest, and for what is not the one ``expected``
        or, when no digest was asked for, not the one that the answer's own headers name.
        """
        if answer.status == HTTPStatus.NOT_FOUND:
            answer.close()
            return None
        if answer.status != HTTPStatus.OK:
            raise await self._verdict.refusal(answer)
        content = await self._connection.read(answer.response, MANIFEST_LIMIT)
        answer.close()
        return self._checked(answer, content, expected)

    def _checked(self, answer: Answer, content: bytes, expected: Digest | None) -> Manifest:
        content_type = answer.header("Content-Type")
        if expected is None and not types.is_schema1(types.bare(content_type or "")):
            expected = _parse_digest(answer.header("Docker-Content-Digest"))
        plain = _find(content, answer.header("Content-Encoding"), expected)
        if plain is None:
            raise self._verdict.invalid(
                f"the manifest sent as {expected} is {digest_of(content)}: damaged on the way"
            )
        try:
            media_type = check_manifest(plain, content_type)
        except ManifestInvalid as error:
            raise self._verdict.invalid(f"the answer is no manifest: {error}") from error
        # Of schema 1 too, whose registries name another digest: what cannot be verified is not
        # to be stored under a name that somebody else chose.
        algorithm = expected.algorithm if expected else "sha256"
        return Manifest(media_type, digest_of(plain, algorithm), plain)


def describe(answer: Answer) -> Descriptor | None:
    """The manifest that the headers describe, None where they leave anything open."""
    media_type = types.bare(answer.header("Content-Type") or "")
    digest = _parse_digest(answer.header("Docker-Content-Digest"))
    size = content_length(answer)
    if not types.is_manifest(media_type) or types.is_schema1(media_type):
        return None
    if digest is None or size is None or is_encoded(answer.header("Content-Encoding")):
        return None
    return Descriptor(media_type, digest, size)


def content_length(answer: Answer) -> int | None:
    """Bytes of the body, or of the one that a GET would have; None if it was not said."""
    text = answer.header("Content-Length") or ""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS else None


def is_encoded(content_encoding: str | None) -> bool:
    return (content_encoding or "identity").strip().lower() not in ("", "identity")


def _parse_digest(text: str | None) -> Digest | None:
    try:
        return parse_digest(text.strip()) if text else None
    except DigestInvalid:
        return None


def _find(content: bytes, content_encoding: str | None, expected: Digest | None) -> bytes | None:
    """The form of the content that has the digest; without one, the decoded form."""
    forms = list(_forms(content, content_encoding))
    if expected is None:
        return forms[-1]
    return next((form for form in forms if expected.matches(form)), None)


def _forms(content: bytes, content_encoding: str | None) -> Iterator[bytes]:
    """As it came, and unpacked: some servers pack unasked, some say so without having done it."""
    yield content
    if is_encoded(content_encoding) and (plain := _unpack(content)) is not None:
        yield plain


def _unpack(content: bytes) -> bytes | None:
    inflater = zlib.decompressobj(wbits=_GZIP_WINDOW)
    try:
        plain = inflater.decompress(content, MANIFEST_LIMIT + 1)
    except zlib.error:
        return None
    is_whole = inflater.eof and not inflater.unused_data and len(plain) <= MANIFEST_LIMIT
    return plain if is_whole else None
