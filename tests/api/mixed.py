"""Requests of every kind, each with its method and the status of its answer where all is held."""

from tests.api.site import BLOB, BY_DIGEST, TAGGED
from tests.api.wire import request

MIXED = [
    (request("/v2/"), "GET", 200),
    (request(TAGGED), "GET", 200),
    (request(TAGGED, method="HEAD"), "HEAD", 200),
    (request(BLOB), "GET", 200),
    (request(BLOB, "Range: bytes=5-9"), "GET", 206),
    (request("/nowhere"), "GET", 404),
    (request(BY_DIGEST, "If-None-Match: *"), "GET", 304),
    (request("/v2/UPPER/x/manifests/1"), "GET", 400),
    (request(BLOB, "Range: bytes=99999999-"), "GET", 416),
    (request(BY_DIGEST, method="DELETE"), "DELETE", 405),
    (request(BLOB, method="HEAD"), "HEAD", 200),
    (request("/livez"), "GET", 200),
]
