"""The world of these tests.

ada, bob and carol are editors, root is an admin. Each has a workstation with a stream open, on a server that has just
beaten; the fixture of that name is the workstation. `item` is A01-0001, and `held` is ada's session on its Sketch001.
On the admin site, boss is a member of staff in the role admin and onlooker one in the role viewer.

`tests.factories` makes more of the same, and says how a client calls the API.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.client import ClientHandler
from pydantic import ValidationError
from whitenoise.middleware import WhiteNoiseMiddleware

from events_app.database import sql
from sessions_app import wrong_credentials
from sessions_app.authentication import principal_of_token
from sessions_app.errors import DomainError
from sessions_app.models import EditSession, Item, Workstation
from sessions_app.operations.sets import carry_out
from sessions_app.roles import Role
from silo import set_calls, short_way
from tests.factories import acquire, make_connected, make_item, make_user
from tests.integration.admin_site import client_of


@pytest.fixture(scope="session", autouse=True)
def static_files_are_looked_for_once() -> Iterator[None]:
    """Each client of a test loads the middleware. WhiteNoise looks at each file then: a third of a request's time."""
    look_for = WhiteNoiseMiddleware.add_files_from_finders
    found: dict[str, Any] = {}

    def add_files(middleware: WhiteNoiseMiddleware) -> None:
        if not found:
            others = dict(middleware.files)
            middleware.files.clear()
            look_for(middleware)
            found.update(middleware.files)
            middleware.files.update(others)
        middleware.files.update(found)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WhiteNoiseMiddleware, "add_files_from_finders", add_files)
        yield


@pytest.fixture(autouse=True)
def no_wrong_credentials() -> Iterator[None]:
    """What other tests have tried slows nobody down."""
    wrong_credentials.forget()
    yield
    wrong_credentials.forget()


@pytest.fixture(autouse=True)
def thinking_ends_no_transaction(_django_db_marker: None) -> None:
    """A test that is one transaction may think for long between two statements, on a machine with other work to do."""
    if connection.in_atomic_block:
        sql.set_for_transaction("idle_in_transaction_session_timeout", "0")


@pytest.fixture
def item() -> Item:
    return make_item()


@pytest.fixture
def ada() -> Workstation:
    return make_connected("ada")


@pytest.fixture
def bob() -> Workstation:
    return make_connected("bob")


@pytest.fixture
def carol() -> Workstation:
    return make_connected("carol")


@pytest.fixture
def root() -> Workstation:
    return make_connected("root", Role.ADMIN)


@pytest.fixture
def held(ada: Workstation, item: Item) -> EditSession:
    return acquire(ada, item, "Sketch001", "partdesign", ("n1",)).session


@pytest.fixture
def boss() -> Client:
    """A member of staff in the role admin, without any of Django's permissions."""
    return client_of(make_user("boss", Role.ADMIN, is_staff=True))


@pytest.fixture
def onlooker() -> Client:
    """A viewer who is staff, with every permission of Django's and therefore the view permissions."""
    user = make_user("onlooker", Role.VIEWER, is_staff=True)
    user.user_permissions.set(
        Permission.objects.filter(content_type__app_label__in=["sessions_app", "events_app"])
    )
    return client_of(user)


@pytest.fixture(params=["by Django", "the short way", "through the writer"])
def all_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have hot calls answered by Django, again on the short way, and by their parts, as sets of one."""
    if request.param == "by Django":
        return
    answer = _by_short_way if request.param == "the short way" else _in_parts
    by_django = ClientHandler.get_response

    def get_response(handler: ClientHandler, http: Any) -> Any:
        return answer(http) or by_django(handler, http)

    monkeypatch.setattr(ClientHandler, "get_response", get_response)


def _by_short_way(http: Any) -> Any:
    call = short_way.hot_call(http.method, http.path_info)
    return short_way.answer(http, call) if call else None


def _in_parts(http: Any) -> Any:
    call = set_calls.called(http.method, http.get_full_path().encode())
    token = http.headers.get("Authorization", "").removeprefix("Bearer ")
    who = principal_of_token(token)
    if call is None or who is None:
        return None
    try:
        call.right.check(who)
        wish = call.wish(who, http.body)
    except (ValidationError, DomainError):
        return None
    try:
        [outcome] = carry_out([wish])
    except Exception as error:
        outcome = error
    status, headers, body = call.answer(outcome)
    named = {name.decode(): value.decode() for name, value in headers}
    return HttpResponse(body, status=status, headers=named)
