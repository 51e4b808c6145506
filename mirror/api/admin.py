"""Everything the server answers besides the registry API: for operators, scripts and monitors."""

from aiohttp import web

from mirror.api.access import require_admin
from mirror.api.evictions import post_eviction
from mirror.api.garbage import post_collection
from mirror.api.health import get_liveness, get_readiness
from mirror.api.images import get_images, get_images_of
from mirror.api.metrics import get_metrics
from mirror.api.openapi import get_description
from mirror.api.stats import get_stats


def admin_routes() -> list[web.RouteDef]:
    """All of ``/api/v1/`` is for who may administer; health and metrics are for everyone."""
    return [
        web.get("/livez", get_liveness),
        web.get("/readyz", get_readiness),
        web.get("/metrics", get_metrics),
        web.get("/api/v1/stats", require_admin(get_stats)),
        web.get("/api/v1/images", require_admin(get_images)),
        web.get("/api/v1/images/{name:.+}", require_admin(get_images_of)),
        web.post("/api/v1/evict", require_admin(post_eviction)),
        web.post("/api/v1/gc", require_admin(post_collection)),
        web.get("/api/v1/openapi.json", require_admin(get_description)),
    ]
