"""The paths below ``/v2/``, parsed once. Pure.

A repository name may hold any of the words that structure a path (``foo/manifests/bar``), so the
path is read from the right.
"""

from dataclasses import dataclass
from enum import Enum


class Resource(Enum):
    MANIFEST = "manifests"
    BLOB = "blobs"
    UPLOAD = "uploads"
    TAGS = "tags"
    REFERRERS = "referrers"
    CATALOG = "_catalog"


@dataclass(frozen=True, slots=True)
class ResourcePath:
    """``name`` and ``item`` as they stand in the path, percent-decoded and not yet checked.

    ``item`` is a reference, a digest or an upload's id; empty where the path has none. So is the
    name of what is about all repositories.
    """

    resource: Resource
    name: str
    item: str


def parse_path(path: str) -> ResourcePath | None:
    """What follows ``/v2/``; ``None`` when it is nothing the specification knows."""
    parts = path.split("/")
    match parts:
        case ["_catalog"]:
            return ResourcePath(Resource.CATALOG, "", "")
        case [*name, "tags", "list"]:
            found = ResourcePath(Resource.TAGS, "/".join(name), "")
        case [*name, "blobs", "uploads"]:
            found = ResourcePath(Resource.UPLOAD, "/".join(name), "")
        case [*name, "blobs", "uploads", upload]:
            found = ResourcePath(Resource.UPLOAD, "/".join(name), upload)
        case [*name, ("manifests" | "blobs" | "referrers") as word, item] if item:
            found = ResourcePath(Resource(word), "/".join(name), item)
        case _:
            return None
    return found if found.name else None
