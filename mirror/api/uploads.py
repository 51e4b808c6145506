"""``/v2/<name>/blobs/uploads/``: blobs on their way in.

https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pushing-blobs
"""

from aiohttp import web

from mirror.api.hosting import hosted_repository
from mirror.api.path import ResourcePath
from mirror.oci.errors import BlobUploadUnknown
from mirror.ports.access import Action


async def serve_upload(request: web.Request, path: ResourcePath) -> web.StreamResponse:
    hosted_repository(request, path, Action.PUSH)
    raise BlobUploadUnknown("pushing has not landed")
