"""Which version of the server this is."""

import functools
from importlib import metadata


@functools.cache
def version() -> str:
    """As it was installed; ``unknown`` when it runs from a folder that never was."""
    try:
        return metadata.version("mirror")
    except metadata.PackageNotFoundError:
        return "unknown"
