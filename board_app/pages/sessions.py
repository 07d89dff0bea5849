"""The first page: who edits what, right now."""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from board_app.access import page, shown
from sessions_app.authentication import Principal
from sessions_app.models import EditSession
from sessions_app.paging import first_page

ROWS_AT_ONCE = 100


# A write to this address is told that it cannot be, not that it was forged.
@csrf_exempt
@require_safe
@page
def show(request: HttpRequest, who: Principal) -> HttpResponse:
    """Answer with the sessions, the latest first."""
    rows, _ = first_page(EditSession.objects.with_names().order_by("-fencing_token"), ROWS_AT_ONCE)
    return shown(request, who, "board/sessions.html", {"rows": rows})
