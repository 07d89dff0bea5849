"""Who gets in, and in which role."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now
from django.test import Client

from sessions_app.models import ApiToken
from sessions_app.roles import Role
from tests.factories import (
    A_SENTENCE,
    Api,
    acquire,
    api_of,
    counts,
    make_item,
    make_token,
    make_user,
    make_workstation,
)

pytestmark = pytest.mark.django_db

VIEWER, EDITOR, ADMIN = Role
ITEM = {"part_number": "A02-0001"}
WORKSTATION = {"name": "cad-9", "fingerprint": "f-9"}
# All others, and what ends something, for which the user's role does not count: test_role_matrix.py.
CALLS = {
    "register": (VIEWER, "POST", "/api/workstations", WORKSTATION, 201),
    "workstations": (VIEWER, "GET", "/api/workstations", None, 200),
    "items": (VIEWER, "GET", "/api/items", None, 200),
    "add item": (EDITOR, "POST", "/api/items", ITEM, 201),
    "acquire": (EDITOR, "POST", "/api/items/A01-0001/edit-sessions", "acquire", 200),
    "on item": (VIEWER, "GET", "/api/items/A01-0001/edit-sessions", None, 200),
    "sessions": (VIEWER, "GET", "/api/edit-sessions", None, 200),
    "everybody's": (VIEWER, "GET", "/api/edit-sessions?all=true", None, 200),
    "force": (
        ADMIN,
        "DELETE",
        "/api/items/A01-0001/edit-sessions/{foreign}/force-release",
        {"reason": "He left."},
        204,
    ),
}


@pytest.fixture(params=CALLS)
def call(request):
    """One call of the table, made by a client on behalf of a user who has something of each kind."""
    needs, method, path, body, status = CALLS[request.param]

    def call(client, user):
        item = make_item()
        own = make_workstation(user)
        bob = make_workstation(make_user("bob"))
        acquire(own, item, "Held")
        foreign = acquire(bob, item, "Foreign").session
        sent = body
        if body == "acquire":
            sent = {"workstation_id": own.pk, "context_level": "sketch"}
        before = counts()
        answer = client(method, path.format(own=own.pk, foreign=foreign.pk), sent)
        if answer.status_code >= 400:
            assert counts() == before
        return answer

    call.needs, call.status = needs, status
    return call


def check_allowed(call, answer, role):
    if role >= call.needs:
        assert answer.status_code == call.status
    else:
        assert answer.status_code == 403
        assert answer.json() == {
            "error": "forbidden",
            "message": f"This needs the role {call.needs.group}.",
        }


@pytest.mark.parametrize("role", Role)
def test_a_role_may_do_what_the_table_says(call, role):
    ada = make_user(role=role)
    check_allowed(call, call(api_of(ada), ada), role)


@pytest.mark.parametrize("role", Role)
def test_the_role_of_the_token_limits_the_users(call, role):
    ada = make_user(role=ADMIN)
    check_allowed(call, call(api_of(ada, role), ada), role)


def test_a_superuser_is_an_admin(call):
    ada = make_user(role=None, is_superuser=True)
    assert call(api_of(ada), ada).status_code == call.status


def test_no_request_passes_without_credentials(call):
    answer = call(Api(), make_user())
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == "Bearer"
    assert answer.json() == {"error": "not_authenticated", "message": A_SENTENCE}


def test_a_user_without_a_role_may_do_nothing(call):
    ada = make_user(role=None)
    answer = call(api_of(ada), ada)
    assert answer.status_code == 403
    assert answer.json() == {"error": "forbidden", "message": A_SENTENCE}


def test_the_highest_of_several_roles_counts():
    ada = make_user(role=VIEWER)
    ada.groups.add(*make_user("bob", ADMIN).groups.all())
    assert api_of(ada)("POST", "/api/items", ITEM).status_code == 201


def test_a_token_never_gives_more_than_its_user_may():
    ada = make_user(role=VIEWER)
    assert api_of(ada, ADMIN)("POST", "/api/items", ITEM).status_code == 403


def refused(headers, **kwargs):
    answer = Client().get("/api/workstations", headers=headers, **kwargs)
    assert answer.json() == {"error": "not_authenticated", "message": A_SENTENCE}
    return answer.status_code == 401 and answer["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "header",
    [
        "",
        " ",
        "Bearer",
        "Bearer ",
        "Bearer silo_wrong",
        "Bearer  {token}",
        "Bearer {token}x",
        "Bearer {prefix}",
        "Bearer {digest}",
        "Bearer \0",
        "Bearer \xff\xfe",
        "Bearer " + "x" * 60_000,
        "{token}",
        "Basic {token}",
        "Token {token}",
        "Bearer: {token}",
    ],
)
def test_other_headers_are_no_credentials(header):
    token = make_token(make_user())
    row = ApiToken.objects.get()
    filled = header.format(token=token, prefix=row.shown, digest=row.digest)
    assert refused({"Authorization": filled})


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_is_known_in_any_case(scheme):
    answer = Client().get(
        "/api/workstations", headers={"Authorization": f"{scheme} {make_token(make_user())}"}
    )
    assert answer.status_code == 200


def test_a_token_in_the_query_is_none():
    assert refused({}, query_params={"token": make_token(make_user())})


@pytest.mark.parametrize(
    "change",
    [{"expires_at": Now()}, {"expires_at": Now() - timedelta(days=1)}, {"revoked_at": Now()}],
)
def test_an_expired_or_revoked_token_is_none(change):
    token = make_token(make_user())
    ApiToken.objects.update(**change)
    assert refused({"Authorization": f"Bearer {token}"})


def test_the_token_of_a_deactivated_user_is_none():
    ada = make_user()
    token = make_token(ada)
    ada.is_active = False
    ada.save()
    assert refused({"Authorization": f"Bearer {token}"})


def test_a_token_is_stored_as_a_hash_and_notes_its_use():
    token = make_token(make_user())
    row = ApiToken.objects.get()
    assert row.last_used_at is None
    assert token not in str(row.__dict__)
    assert Api(token)("GET", "/api/items").status_code == 200
    row.refresh_from_db()
    assert row.last_used_at is not None
