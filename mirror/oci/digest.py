"""Digests: the identity of content.

https://github.com/opencontainers/image-spec/blob/v1.1.1/descriptor.md#digests
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self

from mirror.oci.errors import DigestInvalid, quoted

_GRAMMAR = re.compile(r"([a-z0-9]+(?:[+._-][a-z0-9]+)*):([a-zA-Z0-9=_-]+)")
_LONGEST = 256


class Hasher(Protocol):
    """Hashes content that arrives in pieces."""

    def update(self, data: bytes | bytearray | memoryview, /) -> None: ...
    def digest(self) -> bytes: ...
    def hexdigest(self) -> str: ...
    def copy(self) -> Self: ...
    @property
    def digest_size(self) -> int: ...


@dataclass(frozen=True, slots=True)
class _Algorithm:
    encoded: re.Pattern[str]
    hasher: Callable[[], Hasher]


_ALGORITHMS = {
    "sha256": _Algorithm(re.compile(r"[a-f0-9]{64}"), hashlib.sha256),
    "sha512": _Algorithm(re.compile(r"[a-f0-9]{128}"), hashlib.sha512),
}


@dataclass(frozen=True, slots=True)
class Digest:
    """Made by ``parse_digest`` and ``digest_of``, so always well formed and verifiable."""

    algorithm: str
    encoded: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.encoded}"

    def hasher(self) -> Hasher:
        """A fresh hasher; its ``hexdigest`` is to be compared with ``encoded``."""
        return _ALGORITHMS[self.algorithm].hasher()

    def matches(self, content: bytes) -> bool:
        return digest_of(content, self.algorithm) == self


def is_digest_like(text: str) -> bool:
    """Whether a reference is meant as a digest: no tag has a colon."""
    return ":" in text


def parse_algorithm(text: str) -> str:
    """The name of an algorithm. Raises ``DigestInvalid`` for one that we cannot verify."""
    if text not in _ALGORITHMS:
        supported = " or ".join(_ALGORITHMS)
        raise DigestInvalid(f"digest algorithm {quoted(text)} is unsupported, use {supported}")
    return text


def parse_digest(text: str) -> Digest:
    """Raises ``DigestInvalid``, also for a well-formed digest of an algorithm we cannot verify."""
    match = _GRAMMAR.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None:
        raise DigestInvalid(f"{quoted(text)} is not a digest, which looks like sha256:<64 hex>")
    name, encoded = match.groups()
    algorithm = _ALGORITHMS[parse_algorithm(name)]
    if algorithm.encoded.fullmatch(encoded) is None:
        length = algorithm.hasher().digest_size * 2
        raise DigestInvalid(f"{quoted(text)} lacks {length} lower-case hex digits after {name}:")
    return Digest(name, encoded)


def digest_of(content: bytes, algorithm: str = "sha256") -> Digest:
    """``algorithm`` is one that ``parse_digest`` accepts."""
    hasher = _ALGORITHMS[algorithm].hasher()
    hasher.update(content)
    return Digest(algorithm, hasher.hexdigest())
