"""Every operation of the API for every kind of caller: by role, by what a token is limited to, and by what is over."""

from dataclasses import dataclass
from typing import Any

import pytest
from django.db import transaction
from django.db.models.functions import Now
from django.test import RequestFactory

from sessions_app import wrong_credentials
from sessions_app.errors import DomainError
from sessions_app.models import ApiToken, EditSession, HandoffRequest, PlaceInLine
from sessions_app.roles import Role
from sessions_app.stream_grants import resolve
from silo.api import api
from tests.factories import (
    A_SENTENCE,
    Api,
    acquire,
    connect,
    counts,
    make_item,
    make_token,
    make_user,
    make_workstation,
)

pytestmark = pytest.mark.django_db

VIEWER, EDITOR, ADMIN = Role
# May be asked by everybody; may be ended by the user with credentials that could have begun it.
OPEN, LET_GO = "open", "let go"
# May be asked by everybody who is known; by a login session only, which none of these callers has.
KNOWN, LOGIN = "known", "login"

ITEM, SESSION = "/api/items/A01-0001", "/api/items/A01-0001/edit-sessions"
SKETCH = {"context_level": "sketch"}
# What each operation needs, how it is called on what is the caller's own, and what it answers who may.
OPERATIONS: dict[str, tuple[Any, str, str, Any, int]] = {
    "register_workstation": (
        VIEWER,
        "POST",
        "/api/workstations",
        {"name": "n", "fingerprint": "f"},
        201,
    ),
    "list_workstations": (VIEWER, "GET", "/api/workstations", None, 200),
    "alive": (VIEWER, "POST", "/api/workstations/{own}/alive", {}, 204),
    "release_all": (LET_GO, "DELETE", "/api/workstations/{own}/edit-sessions", None, 200),
    "delete_workstation": (LET_GO, "DELETE", "/api/workstations/{own}", None, 204),
    "history": (VIEWER, "GET", "/api/edit-sessions/history", None, 200),
    "request_handoff": (
        EDITOR,
        "POST",
        SESSION + "/{foreign}/request-handoff",
        {"message": "please"},
        202,
    ),
    "hand_off": (
        LET_GO,
        "POST",
        SESSION + "/{held}/handoff",
        {"to_workstation_id": "{other}"},
        200,
    ),
    "stand_in_line": (
        EDITOR,
        "POST",
        ITEM + "/edit-session-requests",
        SKETCH | {"workstation_id": "{own}", "object_id": "Foreign"},
        201,
    ),
    "list_line": (VIEWER, "GET", ITEM + "/edit-session-requests", None, 200),
    "leave_line": (LET_GO, "DELETE", ITEM + "/edit-session-requests/{place}", None, 204),
    "acquire": (EDITOR, "POST", SESSION, SKETCH | {"workstation_id": "{own}"}, 200),
    "list_of_item": (VIEWER, "GET", SESSION, None, 200),
    "acquire_batch": (
        EDITOR,
        "POST",
        "/api/edit-sessions/batch",
        {"workstation_id": "{own}", "sessions": [SKETCH | {"part_number": "A01-0001"}]},
        200,
    ),
    "release_many": (
        LET_GO,
        "POST",
        "/api/edit-sessions/release",
        {"session_ids": ["{held}"]},
        200,
    ),
    "release": (LET_GO, "DELETE", SESSION + "/{held}", None, 204),
    "force_release": (
        ADMIN,
        "DELETE",
        SESSION + "/{foreign}/force-release",
        {"reason": "left"},
        204,
    ),
    "verify": (VIEWER, "POST", SESSION + "/{held}/verify", {"fencing_token": "{token}"}, 200),
    "in_use": (
        VIEWER,
        "POST",
        "/api/edit-sessions/in-use",
        {"items": ["A01-0001"]},
        200,
    ),
    "list_all": (VIEWER, "GET", "/api/edit-sessions", None, 200),
    "events": (VIEWER, "GET", "/api/events?workstation_id={own}", None, 501),
    "events_of_many": (VIEWER, "POST", "/api/events", {"workstation_id": "{own}"}, 501),
    "events_of_item": (VIEWER, "GET", ITEM + "/events", None, 501),
    "list_items": (VIEWER, "GET", "/api/items", None, 200),
    "create_item": (EDITOR, "POST", "/api/items", {"part_number": "A02-0001"}, 201),
    "rename_item": (ADMIN, "POST", ITEM + "/rename", {"part_number": "A09-0001"}, 200),
    "retire_item": (ADMIN, "POST", ITEM + "/retire", None, 200),
    "restore_item": (ADMIN, "POST", ITEM + "/restore", None, 200),
    "me": (KNOWN, "GET", "/api/me", None, 200),
    "list_tokens": (KNOWN, "GET", "/api/me/tokens", None, 200),
    "make_token": (LOGIN, "POST", "/api/me/tokens", {"name": "CAD"}, 201),
    "revoke_token": (KNOWN, "DELETE", "/api/me/tokens/{own_token}", None, 204),
    "health": (OPEN, "GET", "/health", None, 200),
    # No server's process: it says so to everybody.
    "ready": (OPEN, "GET", "/ready", None, 503),
}

READS = {OPEN, KNOWN, VIEWER}
EDITS = READS | {EDITOR, LET_GO}
# The user's role, the token's, and what the two may. Without a role of the token: no credentials.
CALLERS: dict[str, tuple[Role | None, Role | None, set[Any]]] = {
    "nobody": (EDITOR, None, {OPEN}),
    "viewer": (VIEWER, VIEWER, READS),
    "editor": (EDITOR, EDITOR, EDITS),
    "admin": (ADMIN, ADMIN, EDITS | {ADMIN}),
    "superuser": (None, ADMIN, EDITS | {ADMIN}),
    "viewer's token of an editor": (EDITOR, VIEWER, READS),
    "viewer's token of an admin": (ADMIN, VIEWER, READS),
    "editor's token of an admin": (ADMIN, EDITOR, EDITS),
    "editor's token of a user who is a viewer by now": (VIEWER, EDITOR, READS | {LET_GO}),
    "viewer's token of a user without a role": (None, VIEWER, {OPEN, KNOWN}),
    "editor's token of a user without a role": (None, EDITOR, {OPEN, KNOWN, LET_GO}),
    "token of a deactivated user": (EDITOR, EDITOR, {OPEN}),
    "expired token": (EDITOR, EDITOR, {OPEN}),
    "revoked token": (EDITOR, EDITOR, {OPEN}),
}
# Who is not known is answered 401, whatever the operation needs.
UNKNOWN = {"nobody", "token of a deactivated user", "expired token", "revoked token"}


@dataclass
class World:
    """The caller's token, and the names of what there is."""

    token: str | None
    names: dict[str, Any]

    def filled(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self.filled(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self.filled(one) for one in value]
        if value == "{token}":
            return self.names["token"]
        return value.format(**self.names) if isinstance(value, str) else value


def make_world(caller: str) -> World:
    """Make somebody who has something of each kind, and somebody else who has too and waits for it."""
    role, limit, _ = CALLERS[caller]
    ada = make_user("ada", role, is_superuser=caller == "superuser")
    bob = make_user("bob")
    item, own, other = make_item(), make_workstation(ada), make_workstation(bob)
    connect(own)
    connect(other)
    held = acquire(own, item, "Held").session
    foreign = acquire(other, item, "Foreign").session
    waits = acquire(other, item, "Wanted").session
    place = PlaceInLine.objects.create(
        item=item, workstation=own, context_level="sketch", object_id="Wanted"
    )
    assert waits.pk
    HandoffRequest.objects.create(session=held, user=bob, workstation=other)
    token = make_token(ada, limit) if limit else None
    if caller == "token of a deactivated user":
        type(ada).objects.filter(pk=ada.pk).update(is_active=False)
    ApiToken.objects.update(
        **{
            "expired token": {"expires_at": Now()},
            "revoked token": {"revoked_at": Now()},
        }.get(caller, {"name": "test"})
    )
    return World(
        token,
        {
            "own": own.pk,
            "own_token": ApiToken.objects.get().pk if token else 0,
            "other": other.pk,
            "held": held.pk,
            "foreign": foreign.pk,
            "place": place.pk,
            "token": held.fencing_token,
        },
    )


def expected(caller: str, operation: str) -> int:
    needs, _, _, _, success = OPERATIONS[operation]
    if needs in CALLERS[caller][2]:
        return success
    return 401 if caller in UNKNOWN else 403


def check_says_why(answer: Any, caller: str, operation: str) -> None:
    """A refusal names the role that the operation needs, where its user has any."""
    needs, *_ = OPERATIONS[operation]
    if answer.status_code == 401:
        assert answer["WWW-Authenticate"] == "Bearer"
        assert answer.json() == {"error": "not_authenticated", "message": A_SENTENCE}
    else:
        assert answer.json() == {"error": "forbidden", "message": A_SENTENCE}
        if needs in {EDITOR, ADMIN} and CALLERS[caller][0] is not None:
            assert answer.json()["message"] == f"This needs the role {needs.group}."


def test_every_operation_of_the_description_is_here():
    described = {
        one["operationId"]
        for methods in api.get_openapi_schema()["paths"].values()
        for one in methods.values()
    }
    assert described == OPERATIONS.keys()


@pytest.mark.parametrize("caller", CALLERS)
def test_each_caller_may_do_what_the_table_says(caller):
    world = make_world(caller)
    client, answered = Api(world.token), {}
    for name, (_, method, path, body, _) in OPERATIONS.items():
        wrong_credentials.forget()
        with transaction.atomic():
            before = counts()
            answer = client(method, world.filled(path), world.filled(body))
            answered[name] = answer.status_code
            if answer.status_code in {401, 403}:
                check_says_why(answer, caller, name)
                assert counts() == before
            transaction.set_rollback(True)
    assert answered == {name: expected(caller, name) for name in OPERATIONS}


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("name", ["events", "events_of_many", "events_of_item"])
def test_the_servers_own_streams_too(caller, name):
    """`manage.py serve` does not have Django answer them."""
    world = make_world(caller)
    _, method, path, body, _ = OPERATIONS[name]
    headers = {"Authorization": f"Bearer {world.token}"} if world.token else {}
    request = RequestFactory(headers=headers).generic(
        method, world.filled(path), str(world.filled(body)).replace("'", '"'), "application/json"
    )
    try:
        resolve(request, "A01-0001" if name == "events_of_item" else "")
        status = 501
    except DomainError as error:
        status = error.status
    assert status == expected(caller, name)


@pytest.mark.parametrize("role", [None, VIEWER])
def test_a_log_in_lets_go_of_what_its_user_has_whatever_his_role_is_by_now(client, role):
    ada = make_user("ada", role)
    held = acquire(make_workstation(ada), make_item()).session
    client.force_login(ada)
    assert client.delete(f"{SESSION}/{held.pk}").status_code == 204
    assert client.get("/api/items").status_code == (403 if role is None else 200)


def test_releasing_anothers_sessions_is_forbidden(item):
    held = acquire(make_workstation(make_user("bob")), item).session
    ada = make_user("ada", None)
    api_of_ada = Api(make_token(ada))
    for path in (f"{SESSION}/{held.pk}", f"/api/workstations/{held.workstation_id}"):
        assert api_of_ada("DELETE", path).status_code == 403
    sent = {"session_ids": [str(held.pk)]}
    assert api_of_ada("POST", "/api/edit-sessions/release", sent).json() == {"released": 0}
    assert EditSession.objects.count() == 1


def test_a_viewer_token_deletes_an_empty_workstation():
    workstation = make_workstation(make_user())
    api_of_ada = Api(make_token(workstation.user, VIEWER))
    assert api_of_ada("DELETE", f"/api/workstations/{workstation.pk}").status_code == 204


@pytest.mark.parametrize("thing", ["session", "place", "request"])
def test_and_none_that_has_something(item, thing):
    ada, bob = make_workstation(make_user("ada")), make_workstation(make_user("bob"))
    held = acquire(ada if thing == "session" else bob, item).session
    if thing == "place":
        PlaceInLine.objects.create(item=item, workstation=ada, context_level="sketch")
    if thing == "request":
        HandoffRequest.objects.create(session=held, user=ada.user, workstation=ada)
    api_of_ada = Api(make_token(ada.user, VIEWER))
    answer = api_of_ada("DELETE", f"/api/workstations/{ada.pk}")
    assert (answer.status_code, answer.json()["error"]) == (403, "forbidden")
    ada.refresh_from_db()


def test_a_viewer_token_keeps_nothing_alive(item):
    held = acquire(make_workstation(make_user()), item).session
    before = EditSession.objects.values_list("last_heartbeat", "workstation__idle_since").get()
    api_of_ada = Api(make_token(held.user, VIEWER))
    said = {"idle_seconds": 3600, "connection_id": str(connect(held.workstation))}
    url = f"/api/workstations/{held.workstation_id}/alive"
    assert api_of_ada("POST", url, said).status_code == 204
    assert (
        before == EditSession.objects.values_list("last_heartbeat", "workstation__idle_since").get()
    )


def test_a_viewer_token_takes_over_no_workstation(item):
    ada = make_workstation(make_user())
    held = acquire(ada, item).session
    type(ada).objects.update(machine="gone", last_seen="2020-01-01T00:00Z")
    body = {"name": ada.name, "fingerprint": ada.fingerprint}
    machine = {"headers": {"Silo-Machine": "new"}}
    api_of_ada = Api(make_token(ada.user, VIEWER))
    assert api_of_ada("POST", "/api/workstations", body, **machine).status_code == 403
    assert EditSession.objects.get() == held
    editor = Api(make_token(ada.user, EDITOR))
    assert editor("POST", "/api/workstations", body, **machine).status_code == 200
    assert not EditSession.objects.exists()
