"""A programmable Docker Hub on loopback for tests and benchmarks, and the images to put in it.

An independent world: nothing here imports the program under test.
"""

from tests.simulated_hub.canary import Canary
from tests.simulated_hub.cdn import Cdn
from tests.simulated_hub.content import (
    DOCKER,
    OCI,
    Image,
    Index,
    MediaTypes,
    Platform,
    blob,
    digest_of,
    make_artifact,
    make_image,
    make_index,
)
from tests.simulated_hub.faults import Fault, FaultRoute, Faults, Kind
from tests.simulated_hub.hub import SimulatedHub
from tests.simulated_hub.log import Request, RequestLog, Route
from tests.simulated_hub.registry import Quota, Redirects
from tests.simulated_hub.rootfs import make_rootfs_image, make_runnable_image, tar_layer
from tests.simulated_hub.tokens import AuthMode, TokenField, Tokens

__all__ = [
    "DOCKER",
    "OCI",
    "AuthMode",
    "Canary",
    "Cdn",
    "Fault",
    "FaultRoute",
    "Faults",
    "Image",
    "Index",
    "Kind",
    "MediaTypes",
    "Platform",
    "Quota",
    "Redirects",
    "Request",
    "RequestLog",
    "Route",
    "SimulatedHub",
    "TokenField",
    "Tokens",
    "blob",
    "digest_of",
    "make_artifact",
    "make_image",
    "make_index",
    "make_rootfs_image",
    "make_runnable_image",
    "tar_layer",
]
