"""What handlers read from a request."""

from collections.abc import Sequence

from aiohttp import web


def namespaces(request: web.Request) -> Sequence[str]:
    """Every ``ns`` parameter: the registry that containerd says it means."""
    return request.query.getall("ns", ()) if request.query_string else ()


def namespace_header(request: web.Request) -> dict[str, str]:
    """``OCI-Namespace`` echoes the ``ns`` parameter, which routing has found to be one of ours."""
    names = namespaces(request)
    return {"OCI-Namespace": names[0].lower()} if names else {}
