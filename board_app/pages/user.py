"""The page of a user: what the user holds and waits for, on which workstations, and the history."""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from board_app import links
from board_app.access import moved, page
from board_app.history import record
from board_app.history.page import Subject, answer
from board_app.history.rows import Row, by_item
from board_app.pages import not_there
from sessions_app import accounts
from sessions_app.authentication import Principal
from sessions_app.errors import NotFound
from sessions_app.models import EditSession, EndedSession, PlaceInLine, Workstation
from sessions_app.paging import first_page
from sessions_app.roles import Role
from sessions_app.text import name_of, text_fault

MOST_WORKSTATIONS = 100


@csrf_exempt
@require_safe
@page
def show(request: HttpRequest, who: Principal, username: str) -> HttpResponse:
    """Answer with the page of a user; an account that was deleted has it from the record.

    As in the API, others than the user and admins see of an account what its sessions and places in line show: one
    without any is not there for them.
    """
    if fault := text_fault(username):
        raise NotFound(f"This is no name of a user: {fault}.")
    own = accounts.own_spelling(username)
    if own != username:
        return moved(request, links.user_page(own))
    user = User.objects.filter(username=username).first()
    may_see_all = user == who.user or who.may(Role.ADMIN)
    records = EndedSession.objects.filter(username=username)
    latest = record.latest([records])
    if user is None:
        if latest is None:
            return not_there.user(request, who)
        named = latest.user_name or username
        sessions = places = None
    else:
        sessions = EditSession.objects.filter(user=user)
        places = PlaceInLine.objects.filter(workstation__user=user)
        if not (may_see_all or latest or sessions.exists() or places.exists()):
            return not_there.user(request, who)
        named = name_of(user)
    subject = Subject(sessions, places, [records], by_item, user, ("user", username))

    def more(rows: Collection[Row]) -> Mapping[str, Any]:
        context: dict[str, Any] = {
            "username": username,
            "user_name": named,
            "account": user,
            "is_of_one_user": True,
        }
        if user is not None and may_see_all:
            return context | _all_workstations(user)
        return context | {"workstations": _named_by(rows)}

    return answer(request, who, "board/user.html", subject, more)


def _all_workstations(user: User) -> dict[str, Any]:
    mine = Workstation.objects.filter(user=user).with_presence()
    found, last = first_page(mine.order_by("-last_seen", "pk"), MOST_WORKSTATIONS)
    return {
        "workstations": [
            {"pk": one.pk, "name": one.name, "seen_at": one.seen_at, "connected": one.connected}
            for one in found
        ],
        "has_more_workstations": last is not None,
        "with_presence": True,
    }


def _named_by(rows: Collection[Row]) -> list[dict[str, Any]]:
    """Return the workstations that sessions name, each once by its latest name."""
    names: dict[UUID, str] = {}
    for row in rows:
        names.setdefault(row.workstation_id, row.workstation_name)
    return [{"pk": pk, "name": name} for pk, name in names.items()][:MOST_WORKSTATIONS]
