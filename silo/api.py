"""The API root: routers, errors, and the OpenAPI page at `/api/docs`."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from ninja.renderers import JSONRenderer
from ninja.responses import NinjaJSONEncoder

from sessions_app.api import (
    edit_sessions,
    event_streams,
    handoff,
    history,
    in_use,
    items,
    line,
    me,
    workstations,
)
from sessions_app.authentication import VIEWER
from silo import errors
from silo.openapi import DescribedAPI

DESCRIPTION = """\
Edit sessions for engineering data: soft and hard locks on parts, assemblies and documents.

* **Credentials**: `Authorization: Bearer <token>`, or the cookie of a login session, with `X-CSRFToken` for writes.
  Roles: viewer, editor, admin; each includes the rights of those before it.
* **Errors** are always `{"error": "<code>", "message": "<sentence>", ...}`. An address that is not described here is
  404 `not_found`, a method 405 `method_not_allowed`; HEAD is answered where GET is. An address with its query has at
  most 16 kB (414 `uri_too_long`), its headers have 16 kB together (431 `header_too_large`).
* **Part numbers** in a path are percent-encoded: `DIN 912/M5` is `DIN%20912%2FM5`. In a query `+` is a blank,
  and a plus is `%2B`.
* **Lists** come in pages of at most 1,000. `next` is the parameter of the following page (`after`, in the history
  `before`), and null on the last.
* **Too many** requests of one user, or of one address without valid credentials, are answered 429 with `Retry-After`;
  requests that keep, release or verify a session never are.
* **`X-Request-ID`** names a request in the server's log. An answer has the one of its request, if that is short and
  plain, or a new one; answers to acquires, releases, `alive` and streams may have none.
* **Times** are RFC 3339 in UTC. A body has at most 8 MB, and most operations need much less: 413
  `body_too_large` says how much this one reads. Invisible characters are refused in every text.
"""


class _Encoder(NinjaJSONEncoder):
    """Ninja's, by which an id is looked for among nine other types first."""

    def default(self, o: Any) -> Any:
        """Return what is written for a value that JSON does not know."""
        return str(o) if isinstance(o, UUID) else super().default(o)


class _Renderer(JSONRenderer):
    encoder_class = _Encoder
    # As `json_text` writes it.
    json_dumps_params = {"separators": (",", ":"), "ensure_ascii": False}


api = DescribedAPI(
    title="Silo Sessions",
    version="1",
    description=DESCRIPTION,
    urls_namespace="api",
    renderer=_Renderer(),
    # Every operation names its own; with this the page sends the CSRF token of the logged-in user.
    auth=VIEWER,
    # Not by its CSRF check: another method is an unknown one.
    docs_decorator=lambda view: csrf_exempt(require_safe(view)),
    servers=[{"url": settings.EVENTS_BASE_PATH or "/", "description": "This server."}],
)
errors.install(api)
api.add_router("/workstations", workstations.router)
api.add_router("/me", me.router)
api.add_router("", history.router)
api.add_router("", handoff.router)
api.add_router("", line.router)
api.add_router("", in_use.router)
api.add_router("", edit_sessions.router)
api.add_router("", event_streams.router)
api.add_router("/items", items.router)
