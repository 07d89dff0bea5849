"""`/health`: the process answers, and says its version. `/ready`: it may be sent traffic."""

from collections.abc import MutableMapping
from typing import Any, Final

from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from events_app.fairness.request_gate import Application
from events_app.serving import runtime
from silo import __version__

# What is said of a part that works, that does not, and that it would be of no use to ask.
_WORDS: Final = {True: "ok", False: "unavailable", None: "not asked"}


@csrf_exempt
@require_safe
def health(request: HttpRequest) -> JsonResponse:
    """Say that this process runs, and its version."""
    return JsonResponse({"status": "ok", "version": __version__})


@csrf_exempt
@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """Say whether database, relay and presence work, and how many streams are open; 503 and why if one does not.

    The database has been asked before, see `looked_up_before`.
    """
    process = runtime.current()
    unready = process.unready if process else "this process serves nothing"
    database = process.database.available if process and not unready else None
    said: dict[str, Any] = {
        "status": "ready" if database else "not ready",
        "database": _WORDS[database],
        "relay": _WORDS[not unready],
        "sse_clients": len(process.presence.streams) if process else 0,
    }
    if not database:
        said["reason"] = unready or (process.database.reason if process else "")
    response = JsonResponse(said, status=200 if database else 503)
    # An answer, not a failure: Django would log each as an ERROR.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


def looked_up_before(application: Application) -> Application:
    """Return the application, which is to answer `/ready`, behind a look at the database.

    Here, in the event loop, it may be waited for: in Django every request that waits has a thread. A process that
    knows already that it is not ready asks nobody.
    """

    async def behind_look(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        process = runtime.current()
        if process and not process.unready:
            await process.database.refresh()
        await application(scope, receive, send)

    return behind_look
