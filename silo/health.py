"""`/health`: the process answers. `/ready`: it may be sent traffic."""

from django.db import Error as DatabaseError
from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from events_app import runtime


@never_cache
@require_safe
def health(request: HttpRequest) -> JsonResponse:
    """Say that this process runs."""
    return JsonResponse({"status": "ok"})


@never_cache
@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """Say whether database, relay and presence work, and how many streams are open; 503 if one does not."""
    process = runtime.current()
    parts = {"database": _database_answers(), "relay": bool(process and process.ready)}
    is_ready = all(parts.values())
    response = JsonResponse(
        {
            "status": "ready" if is_ready else "not ready",
            **{name: "ok" if works else "unavailable" for name, works in parts.items()},
            "sse_clients": len(process.presence.streams) if process else 0,
        },
        status=200 if is_ready else 503,
    )
    # An answer, not a failure: Django would log each as an ERROR.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


def _database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return False
    return True
