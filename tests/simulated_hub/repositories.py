"""What the hub holds: repositories with their tags, manifests, blobs and readers."""

import json
from dataclasses import dataclass, field

from tests.simulated_hub.content import Image, Index, digest_of


@dataclass(frozen=True, slots=True)
class Manifest:
    content: bytes
    media_type: str
    digest: str


@dataclass(slots=True)
class Repository:
    tags: dict[str, str] = field(default_factory=dict)
    manifests: dict[str, Manifest] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    readers: frozenset[str] | None = None
    """Who may pull; None: everyone."""

    def manifest(self, reference: str) -> Manifest | None:
        digest = self.tags.get(reference, reference)
        return self.manifests.get(digest)

    def referrers(self, digest: str) -> list[dict[str, object]]:
        found = []
        for manifest in self.manifests.values():
            if digest.encode() not in manifest.content:
                continue
            value = json.loads(manifest.content)
            config = value.get("config", {})
            if value.get("subject", {}).get("digest") == digest:
                found.append(
                    {
                        "mediaType": manifest.media_type,
                        "digest": manifest.digest,
                        "size": len(manifest.content),
                        "artifactType": value.get("artifactType") or config.get("mediaType"),
                    }
                )
        return found


@dataclass(slots=True)
class Repositories:
    by_name: dict[str, Repository] = field(default_factory=dict)

    def get(self, name: str) -> Repository | None:
        return self.by_name.get(name)

    def readable(self, name: str, user: str | None) -> bool:
        repository = self.by_name.get(name)
        if repository is None:
            return False
        return repository.readers is None or user in repository.readers

    def push(self, name: str, tag: str | None, pushed: Image | Index) -> None:
        repository = self._made(name)
        if isinstance(pushed, Index):
            for image in pushed.images:
                self.push(name, None, image)
        else:
            repository.blobs.update(pushed.blobs)
        self.push_manifest(name, tag, pushed.content, pushed.media_type)

    def push_manifest(self, name: str, tag: str | None, content: bytes, media_type: str) -> str:
        repository = self._made(name)
        digest = digest_of(content)
        repository.manifests[digest] = Manifest(content, media_type, digest)
        if tag is not None:
            repository.tags[tag] = digest
        return digest

    def push_blob(self, name: str, content: bytes) -> str:
        digest = digest_of(content)
        self._made(name).blobs[digest] = content
        return digest

    def delete_tag(self, name: str, tag: str) -> None:
        del self.by_name[name].tags[tag]

    def delete_repository(self, name: str) -> None:
        del self.by_name[name]

    def make_private(self, name: str, *readers: str) -> None:
        self._made(name).readers = frozenset(readers)

    def other_blob(self, digest: str) -> bytes:
        """Any valid blob that is not `digest`."""
        for repository in self.by_name.values():
            for candidate, content in repository.blobs.items():
                if candidate != digest:
                    return content
        raise LookupError("other_blob needs a second blob in the hub")

    def _made(self, name: str) -> Repository:
        return self.by_name.setdefault(name, Repository())
