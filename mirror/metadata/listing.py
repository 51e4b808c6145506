"""The order in which images are listed, and the keys that stand for places in it.

What an image is, and what is stored of it, is told by the adapters.
"""

from dataclasses import dataclass

from mirror.oci.digest import is_digest_like
from mirror.ports.metadata import ImageSummary
from mirror.ports.repository import Repository

_UNKNOWN_OS = "unknown/"


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Of a repository the tags come before the digests. ``upstream`` is empty for hosted ones."""

    upstream: str
    name: str
    is_untagged: bool
    entry: str

    def __str__(self) -> str:
        return f"{self.upstream} {self.name} {self.entry}"


def parse_place(key: str) -> Place:
    """Never raises: text that is no key is still somewhere in the order."""
    upstream, _, rest = place_in_text(key).partition(" ")
    name, _, entry = rest.partition(" ")
    return Place(upstream, name, is_digest_like(entry), entry)


def place_in_text(text: str) -> str:
    """Whatever somebody sent as a place in a listing, made fit for any database."""
    return text.replace("\0", "").encode(errors="ignore").decode()


def place_of(repository: Repository, entry: str) -> Place:
    return Place(repository.upstream or "", str(repository.name), is_digest_like(entry), entry)


def place_of_image(image: ImageSummary) -> Place:
    return place_of(image.repository, image.tag or str(image.descriptor.digest))


def named_platforms(platforms: set[str]) -> tuple[str, ...]:
    """Sorted, without the unknown systems under which attestations are listed."""
    return tuple(sorted(text for text in platforms if not is_unknown(text)))


def is_unknown(platform: str) -> bool:
    return platform.startswith(_UNKNOWN_OS)
