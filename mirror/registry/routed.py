"""Pulls, each to those who can answer it: what is hosted here, or copies of other registries.

A hosted name never leads to an upstream, except that one which is not known here may stand for a
repository of the default upstream.
"""

from mirror.oci.digest import Digest
from mirror.oci.errors import BlobUnknown
from mirror.oci.page import Page
from mirror.oci.reference import Reference, Tag
from mirror.registry.answer import BlobAnswer, ManifestAnswer, ReferrersAnswer, TagsAnswer
from mirror.registry.blobs import Blobs
from mirror.registry.hosted_blobs import HostedBlobs
from mirror.registry.hosted_manifests import HostedManifests
from mirror.registry.hosted_names import HostedNames
from mirror.registry.hosted_tags import HostedTags
from mirror.registry.manifests import Manifests
from mirror.registry.recorded_referrers import RecordedReferrers
from mirror.registry.referrers import Referrers
from mirror.registry.routing import Route
from mirror.registry.tags import Tags


class RoutedManifests:
    """Manifests of either kind."""

    def __init__(self, names: HostedNames, hosted: HostedManifests, proxied: Manifests) -> None:
        self._names = names
        self._hosted = hosted
        self._proxied = proxied

    def peek(self, route: Route, reference: Reference) -> ManifestAnswer | None:
        """What can be answered from memory without waiting for anything."""
        if self._names.answers(route):
            return self._hosted.peek(route.repository, reference)
        return None if route.kept_out is not None else self._proxied.peek(route, reference)

    async def get(self, route: Route, digest: Digest) -> ManifestAnswer:
        """The manifest of a digest. Raises OCIError when it cannot be served."""
        if self._names.answers(route):
            return await self._hosted.get(route.repository, digest)
        return await self._proxied.get(route, digest)

    async def resolve(self, route: Route, tag: Tag, *, content: bool) -> ManifestAnswer:
        """What a tag points at, with the manifest itself when ``content`` is wanted.

        Raises OCIError when it cannot be served.
        """
        if self._names.answers(route):
            return await self._hosted.resolve(route.repository, tag)
        return await self._proxied.resolve(route, tag, content=content)

    async def close(self) -> None:
        await self._proxied.close()


class RoutedBlobs:
    """Blobs of either kind. Those that were pushed are served before there is a manifest."""

    def __init__(self, names: HostedNames, hosted: HostedBlobs, proxied: Blobs) -> None:
        self._names = names
        self._hosted = hosted
        self._proxied = proxied

    async def get(self, route: Route, digest: Digest) -> BlobAnswer:
        """The blob, opened for reading. Raises OCIError when it cannot be served."""
        if route.repository.upstream is None:
            found = await self._hosted.get(route.repository, digest)
            if found is not None:
                return found
            self._refuse_if_ours(route, digest)
        return await self._proxied.get(route, digest)

    async def size(self, route: Route, digest: Digest) -> BlobAnswer:
        """As ``get``, without the blob and without downloading it."""
        if route.repository.upstream is None:
            found = await self._hosted.size(route.repository, digest)
            if found is not None:
                return found
            self._refuse_if_ours(route, digest)
        return await self._proxied.head(route, digest)

    async def head(self, route: Route, digest: Digest) -> BlobAnswer:
        """As ``size``, for one who may be about to push a manifest that needs the blob.

        What only the upstream has, a manifest that is pushed here could not rely on: of the
        repository that the name may stand for, only what is stored counts.
        """
        repository = route.repository
        if repository.upstream is not None:
            return await self._proxied.head(route, digest)
        found = await self._hosted.head(repository, digest)
        if found is None and route.fallback is not None and not self._names.knows(repository):
            found = await self._hosted.size(route.fallback, digest)
        if found is None:
            raise BlobUnknown(detail={"name": str(repository.name), "digest": str(digest)})
        return found

    def filling(self) -> frozenset[Digest]:
        """What is being downloaded now."""
        return self._proxied.filling()

    async def close(self) -> None:
        await self._proxied.close()

    def _refuse_if_ours(self, route: Route, digest: Digest) -> None:
        if self._names.answers(route):
            name = str(route.repository.name)
            raise BlobUnknown(detail={"name": name, "digest": str(digest)})


class RoutedTags:
    """Lists of tags of either kind."""

    def __init__(self, names: HostedNames, hosted: HostedTags, proxied: Tags) -> None:
        self._names = names
        self._hosted = hosted
        self._proxied = proxied

    async def list(self, route: Route, page: Page) -> TagsAnswer:
        """Raises OCIError when there is nothing to list."""
        if self._names.answers(route):
            return await self._hosted.list(route.repository, page)
        return await self._proxied.list(route, page)

    async def close(self) -> None:
        await self._proxied.close()


class RoutedReferrers:
    """Lists of referrers of either kind."""

    def __init__(self, names: HostedNames, hosted: RecordedReferrers, proxied: Referrers) -> None:
        self._names = names
        self._hosted = hosted
        self._proxied = proxied

    async def list(
        self, route: Route, digest: Digest, artifact_type: str | None, page: Page
    ) -> ReferrersAnswer:
        """Those of one type, or all. Raises OCIError when they cannot be told."""
        if self._names.answers(route):
            return await self._hosted.list(route.repository, digest, artifact_type, page)
        return await self._proxied.list(route, digest, artifact_type, page)

    async def close(self) -> None:
        await self._proxied.close()
