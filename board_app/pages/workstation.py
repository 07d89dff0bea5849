"""The page of a workstation: what it holds and waits for, and its history."""

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from board_app.access import page
from board_app.history import record
from board_app.history.page import Subject, answer
from board_app.history.rows import by_item
from board_app.pages import not_there
from sessions_app.authentication import Principal
from sessions_app.models import EditSession, EndedSession, PlaceInLine, Workstation
from sessions_app.roles import Role
from sessions_app.text import name_of


@csrf_exempt
@require_safe
@page
def show(request: HttpRequest, who: Principal, workstation_id: str) -> HttpResponse:
    """Answer with the page of a workstation; one that was deleted has it from the record.

    As in the API, others than its user and admins see of a workstation what its sessions and places in line show: one
    without any is not there for them.
    """
    pk = _uuid(workstation_id)
    if pk is None:
        return not_there.workstation(request, who)
    records = EndedSession.objects.filter(workstation_id=pk)
    found = Workstation.objects.select_related("user").with_presence().filter(pk=pk).first()
    sessions = EditSession.objects.filter(workstation_id=pk)
    places = PlaceInLine.objects.filter(workstation_id=pk)
    latest = record.latest([records])
    may_see_all = found is not None and (who.owns(found) or who.may(Role.ADMIN))
    context: dict[str, Any] = {
        "workstation_id": pk,
        "may_see_all": may_see_all,
        "is_of_one_user": True,
    }
    if found and (may_see_all or latest or sessions.exists() or places.exists()):
        context |= {
            "workstation": found,
            "name": found.name,
            "username": found.user.get_username(),
            "user_name": name_of(found.user),
        }
    elif latest and not found:
        context |= {
            "name": latest.workstation_name,
            "username": latest.username,
            "user_name": latest.user_name or latest.username,
        }
    else:
        return not_there.workstation(request, who)
    subject = Subject(sessions, places, [records], by_item, found, ("workstation", str(pk)))
    return answer(request, who, "board/workstation.html", subject, lambda _: context)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
