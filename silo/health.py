"""`/health`: the process is running. `/ready`: it is ready for traffic. Django serves both beside the API."""

from collections.abc import Callable, Mapping, MutableMapping
from typing import Annotated, Any, Final

from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from pydantic import Field

from events_app.fairness.request_gate import Application
from events_app.serving import runtime
from sessions_app.payloads.shape import Example, Shape
from silo import __version__

View = Callable[[HttpRequest], JsonResponse]

# The word for a part that works, for one that does not, and for one that it would be of no use to ask.
_WORDS: Final = {True: "ok", False: "unavailable", None: "not asked"}


class HealthOut(Shape):
    status: Annotated[str, Example("ok")]
    version: Annotated[str, Example(__version__)]


class ReadyOut(Shape):
    status: Annotated[str, Example("ready")]
    database: Annotated[str, Example("ok")]
    relay: Annotated[str, Example("ok")]
    sse_clients: Annotated[int, Example(7)]
    warning: Annotated[
        str | None, Example("notifications of PostgreSQL do not arrive, so events are late: …")
    ] = Field(
        None, description="A fault that does not keep traffic away; left out where there is none."
    )


class NotReadyOut(ReadyOut):
    shown = {"status": "not ready", "database": "unavailable"}

    reason: Annotated[
        str, Example("the database says: could not extend file: No space left on device")
    ]


@csrf_exempt
@require_safe
def health(request: HttpRequest) -> JsonResponse:
    """Answer that this process runs, and its version."""
    return JsonResponse({"status": "ok", "version": __version__})


@csrf_exempt
@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """Say whether this process may be sent traffic.

    503 says which of database, relay and presence does not work, and why. The database has been asked before, see
    `looked_up_before`.
    """
    process = runtime.current()
    unready = process.unready if process else "this process is not `manage.py serve`"
    database = process.database.available if process and not unready else None
    if process and process.database_missing:
        database = False
    answer: dict[str, Any] = {
        "status": "ready" if database else "not ready",
        "database": _WORDS[database],
        "relay": _WORDS[not unready],
        "sse_clients": len(process.presence.streams) if process else 0,
    }
    if not database:
        answer["reason"] = unready or (process.database.reason if process else "")
    if process and process.warning:
        answer["warning"] = process.warning
    response = JsonResponse(answer, status=200 if database else 503)
    # An answer, not a failure: Django would log each as an ERROR.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


# The views as the API's description has them: by path, with the description and the shape of each status.
DESCRIBED: Final[Mapping[str, tuple[View, Mapping[int, tuple[str, type[Shape]]]]]] = {
    "/health": (health, {200: ("The process is running.", HealthOut)}),
    "/ready": (
        ready,
        {
            200: ("Ready for traffic.", ReadyOut),
            503: (
                "Not ready: the process is starting or stopping, or the database is unavailable.",
                NotReadyOut,
            ),
        },
    ),
}


def looked_up_before(application: Application) -> Application:
    """Return the application that answers `/ready`, behind a look at the database.

    The event loop may wait for the database; in Django every request that waits would keep a thread. A process that
    already knows that it is not ready does not ask the database.
    """

    async def behind_look(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        process = runtime.current()
        if process and not process.unready:
            await process.database.refresh()
        await application(scope, receive, send)

    return behind_look
