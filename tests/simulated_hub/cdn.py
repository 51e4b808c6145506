"""The content delivery network behind the hub: signed addresses, GET only, no credentials."""

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.simulated_hub.log import Request
from tests.simulated_hub.ranges import serve_bytes
from tests.simulated_hub.reading import CDN_PREFIX
from tests.simulated_hub.reply import Reply, content

ODD_QUERY = "sig=k%2BQ%2fx~%7Ey%20z+w%3d%3D!*'()%3B:@/?&empty=&flag"


@dataclass(slots=True)
class Signed:
    """What one signed address leads to."""

    data: bytes
    expires: float
    uses: int = 0


@dataclass(slots=True)
class Cdn:
    clock: Callable[[], float]
    lifetime: float = 1200.0
    """Seconds from the redirect to the refusal."""
    one_time: bool = False
    query: str = ODD_QUERY
    """Part of every signed address; must come back byte for byte."""
    _signed: dict[str, Signed] = field(default_factory=dict)

    def sign(self, digest: str, data: bytes) -> str:
        """A target, path and query, under which the CDN will give `data`."""
        algorithm, _, name = digest.partition(":")
        path = f"{CDN_PREFIX}docker/registry/v2/blobs/{algorithm}/{name[:2]}/{name}/data"
        expires = self.clock() + self.lifetime
        target = f"{path}?expires={int(expires)}&serial={len(self._signed)}&{self.query}"
        self._signed[target] = Signed(data, expires)
        return target

    def answer(self, request: Request, *, ranges: bool) -> Reply:
        if request.authorization is not None and request.port_kind == "cdn":
            return refusal(400, "InvalidArgument", "Only one auth mechanism allowed")
        if request.method != "GET":
            return refusal(403, "SignatureDoesNotMatch", "The address is signed for GET")
        signed = self._signed.get(request.target)
        if signed is None:
            return refusal(403, "SignatureDoesNotMatch", "The address was never signed")
        if signed.expires <= self.clock():
            return refusal(403, "AccessDenied", "Request has expired")
        if self.one_time and signed.uses:
            return refusal(403, "AccessDenied", "The address was used before")
        signed.uses += 1
        return serve_bytes(request, signed.data, (("ETag", '"cdn"'),), ranges=ranges)


def refusal(status: int, code: str, message: str) -> Reply:
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return content(status, body.encode(), "application/xml")
