"""The page of one session, on which people act on it: wait, ask, hand off, release, force-release.

Each act is the operation that the API calls, with the API's rights. Its answer is a message on the page that follows.
"""

import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_http_methods

from board_app import rows
from board_app.access import in_admin, page_to_let_go, shown
from sessions_app import operations
from sessions_app.authentication import Principal
from sessions_app.errors import DomainError, Invalid, NotFound
from sessions_app.models import HandoffRequest, PlaceInLine, Workstation
from sessions_app.models.results import Standing, Wanted
from sessions_app.operations.release import Release
from sessions_app.roles import Role
from sessions_app.text import REASON_MAX, name_of, text_fault

# Whom a session is offered to, on its page; a line may be long.
MAX_OFFERED: Final = 50


@require_http_methods(["GET", "HEAD", "POST"])
@page_to_let_go
def show(request: HttpRequest, who: Principal, session_id: uuid.UUID) -> HttpResponse:
    """GET: answer with the page. POST: act, and lead back to where one came from, or here where it was refused.

    Without a role one sees only what one holds or waits for.
    """
    row = rows.one(who, session_id)
    if request.method == "POST":
        return _act(request, who, session_id, row)
    own_places = _own_places(who, row) if row else []
    if not (row and row.mine) and not own_places:
        who.require(Role.VIEWER)
    if row is None:
        raise NotFound("There is no such session, or it has ended.")
    context: dict[str, Any] = {
        "row": row,
        "session": row.session,
        "back": _back(request),
        "own_places": own_places,
        "in_admin": in_admin(request, row.session),
        "may_edit": who.may(Role.EDITOR),
        "may_force": who.may(Role.ADMIN),
    }
    if row.mine:
        context["offered"] = _offered(session_id, row)
    elif who.may(Role.EDITOR):
        context["own"] = _own(who)
        standing = {place.workstation_id for place in own_places}
        context["could_stand"] = [one for one in context["own"] if one.pk not in standing]
    if who.may(Role.ADMIN):
        context["removable"] = [place for place in row.line if not who.owns(place.workstation)]
    return shown(request, who, "board/session.html", context)


def _act(
    request: HttpRequest, who: Principal, session_id: uuid.UUID, row: rows.Row | None
) -> HttpResponse:
    act = ACTS.get(request.POST.get("act", ""))
    if act is None:
        raise Invalid("This page has no such action.")
    back = _checked(request, request.POST.get("back", ""))
    if row is None:
        messages.error(request, "The session has ended meanwhile; nothing was done.")
        return HttpResponseRedirect(back)
    try:
        messages.success(request, act(who, row.session, request.POST))
    except DomainError as error:
        messages.error(request, error.message)
        if not isinstance(error, NotFound):
            return HttpResponseRedirect(reverse("board:session", args=[session_id]))
    return HttpResponseRedirect(back)


def _release(who: Principal, session: Any, given: QueryDict) -> str:
    who.require_letting_go()
    request = Release(who.user, [session.pk], session.item.part_number)
    [outcome] = operations.release.release_set([request])
    if isinstance(outcome, Exception):
        raise outcome
    return f"Your session on {session} was released."


def _hand_over(who: Principal, session: Any, given: QueryDict) -> str:
    who.require_letting_go()
    to = operations.handoff.hand_off(who.user, session.pk, _id(given, "workstation")).session
    return f"{session} was handed off to {name_of(to.user)} on {to.workstation.name}."


def _ask(who: Principal, session: Any, given: QueryDict) -> str:
    who.require(Role.EDITOR)
    workstation = _id(given, "workstation") if given.get("workstation") else None
    operations.handoff.request(who.user, session.pk, _text(given, "message"), workstation)
    return f"{name_of(session.user)} was asked for {session}."


def _stand(who: Principal, session: Any, given: QueryDict) -> str:
    who.require(Role.EDITOR)
    wanted = Wanted(session.item.part_number, session.context_level, session.object_id)
    answer = operations.line.stand(who.user, _id(given, "workstation"), wanted, only_wait=True)
    assert isinstance(answer, Standing)
    return f"You stand in line for {session}, at place {answer.place.position}."


def _leave(who: Principal, session: Any, given: QueryDict) -> str:
    who.require_letting_go()
    places = PlaceInLine.objects.filter(pk=_id(given, "place"))
    left = operations.line.leave(who.user, places, as_admin=who.may(Role.ADMIN))
    if not who.owns(left.workstation):
        theirs = f"{name_of(left.workstation.user)} on {left.workstation.name}"
        return f"The place of {theirs} in the line for {left} was removed."
    return f"You have left the line for {left}."


def _force_release(who: Principal, session: Any, given: QueryDict) -> str:
    who.require(Role.ADMIN)
    reason = _text(given, "reason").strip()
    if not reason:
        raise Invalid("A reason is required: the record keeps it, and the holder sees it.")
    operations.release.force_release(session.pk, by=who.user.get_username(), note=reason)
    return f"The session of {name_of(session.user)} on {session} was force-released."


ACTS: Final[Mapping[str, Callable[[Principal, Any, QueryDict], str]]] = {
    "release": _release,
    "hand_over": _hand_over,
    "ask": _ask,
    "stand": _stand,
    "leave": _leave,
    "force_release": _force_release,
}


def _own(who: Principal) -> list[Workstation]:
    """Return the workstations of who asks that could hear of their turn."""
    own = Workstation.objects.served().filter(user=who.user)
    return list(own.order_by("name", "pk")[:MAX_OFFERED])


def _own_places(who: Principal, row: rows.Row) -> list[PlaceInLine]:
    session = row.session
    line = PlaceInLine.objects.filter(
        item=session.item_id, context_level=session.context_level, object_id=session.object_id
    )
    mine = line.filter(workstation__user=who.user).with_names()
    return list(mine.order_by("number")[:MAX_OFFERED])


def _offered(session_id: uuid.UUID, row: rows.Row) -> list[tuple[Workstation, str]]:
    """Return to which workstations the holder may hand a session over, each with why: it waits, or has asked."""
    found = {place.workstation_id: (place.workstation, "waits in line") for place in row.line}
    asked = HandoffRequest.objects.filter(session_id=session_id).order_by("requested_at")
    requests = list(asked.values_list("workstation_id", "user_id")[:MAX_OFFERED])
    named = Workstation.objects.filter(pk__in=[pk for pk, _ in requests if pk])
    # Where the asker named none, any that could take it.
    anywhere = Workstation.objects.served().filter(
        user__in=[user for pk, user in requests if not pk]
    )
    for workstations in (named, anywhere):
        for one in workstations.select_related("user").order_by("name", "pk")[:MAX_OFFERED]:
            found.setdefault(one.pk, (one, "has asked"))
    return list(found.values())


def _id(given: QueryDict, name: str) -> uuid.UUID:
    try:
        return uuid.UUID(given.get(name, ""))
    except ValueError:
        raise Invalid(f"Choose a {name}.") from None


def _text(given: QueryDict, name: str) -> str:
    text = given.get(name, "")
    if fault := text_fault(text):
        raise Invalid(f"{name}: {fault}.")
    if len(text) > REASON_MAX:
        raise Invalid(f"{name}: at most {REASON_MAX} characters.")
    return text


def _back(request: HttpRequest) -> str:
    """Return the page that led here, to which an act leads back; the board where it was none of ours."""
    try:
        came = urlsplit(request.headers.get("Referer", ""))
    except ValueError:
        return reverse("board:sessions")
    here = came.netloc == request.get_host() and came.path != request.path
    address = came.path + (f"?{came.query}" if came.query else "")
    return _checked(request, address if here else "")


def _checked(request: HttpRequest, address: str) -> str:
    """Return an address of this service; the board's for any other one."""
    own = url_has_allowed_host_and_scheme(address, None) and address.startswith("/")
    return address if own else reverse("board:sessions")
