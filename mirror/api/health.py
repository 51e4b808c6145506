"""``/livez`` and ``/readyz``: for whoever restarts the process or sends it clients.

Neither depends on an upstream: a mirror is there for the time when there is none.
"""

from aiohttp import web

from mirror.api.rendering import text_answer
from mirror.api.services import SERVICES


async def get_liveness(request: web.Request) -> web.Response:  # noqa: ARG001 - the answer is that there is one
    return text_answer("ok")


async def get_readiness(request: web.Request) -> web.Response:
    reason = request.app[SERVICES].ready()
    return text_answer("ok") if reason is None else text_answer(reason, status=503)
