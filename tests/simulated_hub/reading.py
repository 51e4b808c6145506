"""From bytes on a connection to a request with its route."""

import re
from dataclasses import dataclass

from multidict import CIMultiDict

from tests.simulated_hub.log import PortKind, Request, Route
from tests.simulated_hub.wire import Connection

CDN_PREFIX = "/registry-v2/"
PATTERNS: tuple[tuple[Route, re.Pattern[str]], ...] = (
    ("ping", re.compile(r"/v2/?")),
    ("catalog", re.compile(r"/v2/_catalog")),
    ("manifest", re.compile(r"/v2/(?P<name>.+)/manifests/(?P<reference>[^/]+)")),
    ("blob", re.compile(r"/v2/(?P<name>.+)/blobs/(?P<reference>[^/]+:[^/]+)")),
    ("tags", re.compile(r"/v2/(?P<name>.+)/tags/list")),
    ("referrers", re.compile(r"/v2/(?P<name>.+)/referrers/(?P<reference>[^/]+)")),
)
CDN_OBJECT = re.compile(re.escape(CDN_PREFIX) + r".*/(?P<algorithm>sha\d+)/\w\w/(?P<hex>\w+)/data")


@dataclass(frozen=True, slots=True)
class Destination:
    route: Route
    name: str = ""
    reference: str = ""


async def read_request(connection: Connection, port_kind: PortKind) -> Request | None:
    """None when the client is done."""
    block = await connection.read_line_block()
    if not block:
        return None
    first, *lines = block.decode("latin-1").split("\r\n")
    method, _, rest = first.partition(" ")
    target, _, version = rest.rpartition(" ")
    headers: CIMultiDict[str] = CIMultiDict()
    for line in lines:
        name, _, value = line.partition(":")
        headers.add(name, value.strip())
    body = await connection.read(int(headers.get("Content-Length", "0")))
    request = Request(port_kind, method, origin_form(target), headers, body, version=version)
    destination = destination_of(request.path, port_kind)
    request.route = destination.route
    request.name, request.reference = destination.name, destination.reference
    return request


def origin_form(target: str) -> str:
    return re.sub(r"^https?://[^/]*", "", target) or "/"


def destination_of(path: str, port_kind: PortKind) -> Destination:
    if port_kind == "token":
        return Destination("token" if path == "/token" else "other")
    if port_kind == "cdn" or path.startswith(CDN_PREFIX):
        return cdn_destination(path)
    for route, pattern in PATTERNS:
        if found := pattern.fullmatch(path):
            parts = found.groupdict()
            return Destination(route, parts.get("name") or "", parts.get("reference") or "")
    return Destination("other")


def cdn_destination(path: str) -> Destination:
    if found := CDN_OBJECT.fullmatch(path):
        return Destination("cdn", reference=f"{found['algorithm']}:{found['hex']}")
    if found := PATTERNS[2][1].fullmatch(path):
        return Destination("cdn", found["name"], found["reference"])
    return Destination("cdn")


def keeps_alive(request: Request) -> bool:
    """Not after a body in chunks either: it was not read."""
    if request.version != "HTTP/1.1" or "Transfer-Encoding" in request.headers:
        return False
    return request.headers.get("Connection", "").lower() != "close"
