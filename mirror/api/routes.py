"""Which handler answers which path."""

from aiohttp import web

from mirror.api.admin import admin_routes
from mirror.api.errors import render_errors
from mirror.api.manifests import PREPARED
from mirror.api.prepared import PreparedAnswers
from mirror.api.registry import registry_routes
from mirror.api.services import SERVICES, Services

LARGEST_BODY = 64 * 1024
"""Of the admin API; what is pushed is read in portions, see `body` and `upload_body`."""


def make_application(services: Services) -> web.Application:
    application = web.Application(middlewares=[render_errors], client_max_size=LARGEST_BODY)
    application[SERVICES] = services
    application[PREPARED] = PreparedAnswers(services.clock)
    application.add_routes(
        [
            *registry_routes(),
            *admin_routes(),
        ]
    )
    return application
