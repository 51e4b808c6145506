"""What the tests of the short way ask for, and how an answer gets prepared."""

from datetime import timedelta

from tests.api.services import MemoryMirror, make_mirror, repository
from tests.api.serving import Serving
from tests.api.site import NAME
from tests.api.wire import connected, request
from tests.simulated_hub import make_image

IMAGE = make_image(layers=[b"layer"])
SECOND = timedelta(seconds=1)
BY_TAG = f"/v2/{NAME}/manifests/1"
BY_DIGEST = f"/v2/{NAME}/manifests/{IMAGE.digest}"
UNSURE = "/v2/nginx/manifests/1"
"""It may be hosted, or stand for one of the default upstream."""
TARGETS = [
    *(BY_TAG, BY_DIGEST, f"{BY_TAG}?ns=docker.io", f"{BY_DIGEST}?ns=docker.io"),
    *(UNSURE, "/v2/docker.io/library/nginx/manifests/1"),
    *("/v2/library%2Fnginx/manifests/1", f"{BY_TAG}?anything=else", f"http://x{BY_TAG}"),
]
LONG_WAY = "X-Long-Way: 1"


async def make_stocked() -> MemoryMirror:
    """A mirror in memory that holds the image, and whose upstream has it."""
    mirror = make_mirror()
    await mirror.hold(repository(f"docker.io/{NAME}"), "1", IMAGE)
    mirror.upstreams["docker.io"].push(NAME, "1", IMAGE)
    return mirror


async def keep(server: Serving, *targets: str) -> None:
    """Have the answers prepared."""
    async with connected(server.port) as line:
        for target in targets or TARGETS:
            for method in ("GET", "HEAD"):
                for _ in ("read from the store", "kept"):
                    await line.ask(request(target, LONG_WAY, method=method))
