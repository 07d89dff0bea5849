"""Who may see a page of the board: anybody who is logged in, is active, and has a role. One rule for all pages.

Whoever has lost the role may let go of what is still theirs, as by the API.
"""

import logging
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec

from django.contrib import admin
from django.contrib.auth.views import redirect_to_login
from django.db import InterfaceError, InternalError, OperationalError
from django.db.models import Exists, Model, Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from sessions_app.authentication import LETTING_GO_RIGHT, Principal, Right, principal_of_login
from sessions_app.errors import DomainError
from sessions_app.models import EditSession
from sessions_app.models.edit_session_queryset import EditSessionQuerySet
from sessions_app.models.place_in_line import line_of_outer
from sessions_app.roles import Role

logger = logging.getLogger(__name__)

Given = ParamSpec("Given")
# Said to people, who need not know what a database is.
UNAVAILABLE = "The service cannot answer at the moment. Reload this page in a few seconds."
RETRY_AFTER = "2"
# Of what a user without a role has left, so many are named at once.
MOST_LEFT: Final = 100


def page(
    view: Callable[Concatenate[HttpRequest, Principal, Given], HttpResponse],
) -> Callable[Concatenate[HttpRequest, Given], HttpResponse]:
    """Decorate a view that takes the request and who asks, and is called only for a user with a role.

    Nobody logged in is led to the page for logging in. Errors of the domain, addresses of what is not there, and a
    database that is away are answered with a page that says so.
    """
    return _answering(view, Right.of_role(Role.VIEWER))


def page_to_let_go(
    view: Callable[Concatenate[HttpRequest, Principal, Given], HttpResponse],
) -> Callable[Concatenate[HttpRequest, Given], HttpResponse]:
    """Decorate a view as `page` does, which also users without a role may see where something on it is theirs.

    The view itself refuses the others.
    """
    return _answering(view, LETTING_GO_RIGHT)


def _answering(
    view: Callable[Concatenate[HttpRequest, Principal, Given], HttpResponse], right: Right
) -> Callable[Concatenate[HttpRequest, Given], HttpResponse]:
    @wraps(view)
    def answer(request: HttpRequest, /, *args: Given.args, **kwargs: Given.kwargs) -> HttpResponse:
        who = None
        try:
            who = principal_of_login(request)
            if who is None:
                return redirect_to_login(request.get_full_path(), reverse("board:log_in"))
            right.check(who)
            response = view(request, who, *args, **kwargs)
            # Here, where a database that is away while the rows are read is caught.
            return response.render() if isinstance(response, TemplateResponse) else response
        except DomainError as error:
            return refused(request, who, error.status, error.message)
        except Http404:
            return refused(request, who, 404, "There is nothing at this address.")
        except (OperationalError, InterfaceError, InternalError) as error:
            logger.warning("the database did not serve a page", extra={"error": error})
            response = refused(request, None, 503, UNAVAILABLE)
            response["Retry-After"] = RETRY_AFTER
            return response

    return answer


def shown(
    request: HttpRequest,
    who: Principal | None,
    template: str,
    context: Mapping[str, Any] | None = None,
    status: int = 200,
) -> TemplateResponse:
    """Return a page.

    Args:
        request: the request.
        who: who asks; None for a page that anybody sees, and then nothing of it comes from the database.
        template: its template, which extends `board/base.html`.
        context: what the template needs besides.
        status: of the answer.
    """
    response = TemplateResponse(request, template, {**(context or {}), "who": who}, status=status)
    if status >= 400:
        # Django would log each of them.
        response._has_been_logged = True  # type: ignore[attr-defined]
    return response


def moved(request: HttpRequest, address: str) -> HttpResponseRedirect:
    """Lead to another address of the same page, with the query of the request."""
    query = request.META.get("QUERY_STRING", "")
    return HttpResponseRedirect(f"{address}?{query}" if query else address)


def refused(
    request: HttpRequest, who: Principal | None, status: int, message: str
) -> TemplateResponse:
    """Return a page that says in a sentence why there is no other one."""
    left = list(_left(who)[:MOST_LEFT]) if who and who.role is None else []
    context = {"message": message, "left": left}
    response = shown(request, who, "board/refused.html", context, status)
    response.render()
    return response


def in_admin(request: HttpRequest, row: Model | None) -> str | None:
    """Return the address of a row's page in the admin site, for members of staff who may see it."""
    if row is None or not (request.user.is_active and request.user.is_staff):
        return None
    if not admin.site.get_model_admin(type(row)).has_view_permission(request, row):
        return None
    name = f"admin:{row._meta.app_label}_{row._meta.model_name}_change"
    return reverse(name, args=[row.pk])


def _left(who: Principal) -> EditSessionQuerySet:
    """Return the sessions that a user holds or waits for."""
    waits = Exists(line_of_outer().filter(workstation__user=who.user))
    theirs = EditSession.objects.filter(Q(user=who.user) | Q(waits))
    return theirs.with_names().order_by("-fencing_token")
