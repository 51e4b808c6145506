"""Names: repositories, tags, references, and image names as people type them.

https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pulling-manifests
"""

import re
from dataclasses import dataclass

from mirror.oci.digest import Digest, is_digest_like, parse_digest
from mirror.oci.errors import DigestInvalid, ManifestUnknown, NameInvalid, TagInvalid, quoted

LONGEST_NAME = 255
LONGEST_TAG = 128
DEFAULT_REGISTRY = "docker.io"
DEFAULT_TAG = "latest"
OFFICIAL_NAMESPACE = "library"

_LEGACY_DEFAULT_REGISTRY = "index.docker.io"
_LONGEST_REGISTRY = 255
_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_IDENTIFIER = re.compile(r"[a-f0-9]{64}")
_HOST_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_REGISTRY = re.compile(rf"(?:{_HOST_LABEL}(?:\.{_HOST_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")


@dataclass(frozen=True, slots=True)
class RepositoryName:
    """The name of a repository within a registry, such as ``library/nginx``."""

    value: str

    def __str__(self) -> str:
        return self.value

    @property
    def components(self) -> tuple[str, ...]:
        return tuple(self.value.split("/"))


@dataclass(frozen=True, slots=True)
class Tag:
    value: str

    def __str__(self) -> str:
        return self.value


Reference = Tag | Digest


@dataclass(frozen=True, slots=True)
class ImageName:
    """A fully qualified image. At least one of ``tag`` and ``digest`` is there; the digest wins."""

    registry: str
    name: RepositoryName
    tag: Tag | None
    digest: Digest | None

    def __str__(self) -> str:
        return f"{self.registry}/{self.name}{self._suffix}"

    @property
    def reference(self) -> Reference:
        """What to ask the registry for."""
        return self.digest or self.tag or Tag(DEFAULT_TAG)

    @property
    def familiar(self) -> str:
        """As Docker prints it: without its default registry and the namespace it adds itself."""
        if self.registry != DEFAULT_REGISTRY:
            return str(self)
        namespace, _, name = self.name.value.partition("/")
        short = name if namespace == OFFICIAL_NAMESPACE and "/" not in name else self.name.value
        return f"{short}{self._suffix}"

    @property
    def _suffix(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{tag}@{self.digest}" if self.digest else tag


def parse_repository_name(text: str) -> RepositoryName:
    """Raises ``NameInvalid``."""
    if len(text) > LONGEST_NAME:
        raise NameInvalid(
            f"repository name {quoted(text)} is longer than {LONGEST_NAME} characters"
        )
    for component in text.split("/"):
        if _COMPONENT.fullmatch(component) is None:
            raise NameInvalid(_explain_component(text, component))
    return RepositoryName(text)


def parse_tag(text: str) -> Tag:
    """A tag to be written. Raises ``TagInvalid``."""
    if _TAG.fullmatch(text) is None:
        raise TagInvalid(
            f"{quoted(text)} is not a tag: 1 to {LONGEST_TAG} letters, digits, '_', '.' and '-',"
            " not beginning with '.' or '-'"
        )
    return Tag(text)


def parse_reference(text: str) -> Reference:
    """A tag or digest to be read.

    Raises ``DigestInvalid`` for what is meant as a digest, and ``ManifestUnknown`` for the rest:
    nothing can have been stored under a name that is no tag.
    """
    if is_digest_like(text):
        return parse_digest(text)
    if _TAG.fullmatch(text) is None:
        raise ManifestUnknown(f"{quoted(text)} is neither a tag nor a digest")
    return Tag(text)


def parse_image_name(text: str) -> ImageName:
    """What ``docker pull`` would pull. Raises ``NameInvalid``.

    https://github.com/distribution/reference/blob/main/normalize.go
    """
    if _IDENTIFIER.fullmatch(text):
        raise NameInvalid(f"{quoted(text)} is an image ID, not the name of an image")
    registry, remainder = _split_registry(text)
    named, at, digest_text = remainder.partition("@")
    path, colon, tag_text = named.partition(":")
    if registry == DEFAULT_REGISTRY and "/" not in path:
        path = f"{OFFICIAL_NAMESPACE}/{path}"
    name = parse_repository_name(path)
    tag = _parse_image_tag(text, tag_text) if colon else None
    digest = _parse_image_digest(text, digest_text) if at else None
    if tag is None and digest is None:
        tag = Tag(DEFAULT_TAG)
    return ImageName(registry, name, tag, digest)


def _split_registry(text: str) -> tuple[str, str]:
    first, slash, rest = text.partition("/")
    if not slash or not _is_registry_like(first):
        return DEFAULT_REGISTRY, text
    if len(first) > _LONGEST_REGISTRY or _REGISTRY.fullmatch(first) is None:
        raise NameInvalid(f"image name {quoted(text)} begins with {quoted(first)}, not a host")
    return (DEFAULT_REGISTRY if first == _LEGACY_DEFAULT_REGISTRY else first), rest


def _is_registry_like(component: str) -> bool:
    """Docker's rule: an upper-case letter is legal in a host and nowhere else."""
    return (
        "." in component
        or ":" in component
        or component == "localhost"
        or component.lower() != component
    )


def _parse_image_tag(image: str, text: str) -> Tag:
    try:
        return parse_tag(text)
    except TagInvalid as error:
        raise NameInvalid(f"image name {quoted(image)}: {error}") from error


def _parse_image_digest(image: str, text: str) -> Digest:
    try:
        return parse_digest(text)
    except DigestInvalid as error:
        raise NameInvalid(f"image name {quoted(image)}: {error}") from error


def _explain_component(name: str, component: str) -> str:
    if not component:
        return f"repository name {quoted(name)} has an empty component"
    if _COMPONENT.fullmatch(component.lower()):
        return f"repository name {quoted(name)} must be in lower case"
    return (
        f"repository name {quoted(name)}: {quoted(component)} may have lower-case letters and"
        " digits, separated by one '.', one or two '_', or any number of '-'"
    )
