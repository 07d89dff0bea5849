"""The API root: routers, errors, and the OpenAPI page at `/api/docs`."""

from ninja import NinjaAPI

from sessions_app.api import edit_sessions, handoff, history, items, line, workstations
from silo import errors

api = NinjaAPI(
    title="Silo Sessions",
    version="1",
    description="Edit sessions for engineering data. Event streams: `GET /api/events`, see docs/.",
    urls_namespace="api",
)
errors.install(api)
api.add_router("/workstations", workstations.router)
api.add_router("", history.router)
api.add_router("", handoff.router)
api.add_router("", line.router)
api.add_router("", edit_sessions.router)
api.add_router("/items", items.router)
