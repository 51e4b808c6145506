"""What changes hosted repositories: ``PUT`` and ``DELETE`` of manifests, ``DELETE`` of blobs.

https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#push
"""

from aiohttp import web

from mirror.api.access import require
from mirror.api.path import ResourcePath
from mirror.api.request import namespaces
from mirror.api.services import SERVICES
from mirror.oci.errors import Unsupported
from mirror.ports.access import Action
from mirror.ports.repository import Repository


async def put_manifest(request: web.Request, path: ResourcePath) -> web.StreamResponse:
    hosted_repository(request, path, Action.PUSH)
    raise Unsupported("pushing has not landed")


async def delete_manifest(request: web.Request, path: ResourcePath) -> web.StreamResponse:
    hosted_repository(request, path, Action.DELETE)
    raise Unsupported("pushing has not landed")


async def delete_blob(request: web.Request, path: ResourcePath) -> web.StreamResponse:
    hosted_repository(request, path, Action.DELETE)
    raise Unsupported("pushing has not landed")


def hosted_repository(request: web.Request, path: ResourcePath, action: Action) -> Repository:
    """The repository to be changed. Raises what routing raises, and Denied.

    The name is judged first: that it cannot be changed is true for everybody.
    """
    repository = request.app[SERVICES].router.hosted(path.name, namespaces(request))
    require(request, action)
    return repository
