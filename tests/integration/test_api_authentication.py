"""Who gets in. Which operation each role may ask for: `test_role_matrix.py`."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now
from django.test import Client

from sessions_app.models import ApiToken
from sessions_app.roles import Role
from tests.factories import (
    A_SENTENCE,
    Api,
    api_of,
    make_token,
    make_user,
)

pytestmark = pytest.mark.django_db

VIEWER, _, ADMIN = Role
ITEM = {"part_number": "A02-0001"}


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
