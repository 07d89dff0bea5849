"""Django's login session: a cookie, with a CSRF token on writes."""

import pytest
from django.conf import settings
from django.test import Client

from sessions_app.models import EditSession, Item
from sessions_app.roles import Role
from tests.factories import A_SENTENCE, make_item, make_token, make_user, make_workstation

pytestmark = pytest.mark.django_db

ITEM = {"part_number": "A02-0001"}


def logged_in(user):
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    return client


def with_csrf(client):
    client.cookies[settings.CSRF_COOKIE_NAME] = "a" * 32
    return {"X-CSRFToken": "a" * 32}


def add_item(client, headers=None, **kwargs):
    return client.post("/api/items", ITEM, "application/json", headers=headers, **kwargs)


def test_a_login_session_reads_without_more():
    assert logged_in(make_user()).get("/api/workstations").status_code == 200


def test_a_login_session_writes_with_the_csrf_token():
    client = logged_in(make_user())
    assert add_item(client, with_csrf(client)).status_code == 201


def test_without_it_nothing_is_written():
    answer = add_item(logged_in(make_user()))
    assert answer.status_code == 403
    assert answer.json() == {"error": "forbidden", "message": A_SENTENCE}
    assert not Item.objects.exists()


@pytest.mark.parametrize(
    "headers",
    [
        {"X-CSRFToken": "b" * 32},
        {"X-CSRFToken": ""},
        {"X-CSRFToken": "a" * 32, "Origin": "https://evil.example"},
        {"X-CSRFToken": "a" * 32, "Origin": "null"},
    ],
)
def test_a_wrong_csrf_token_or_origin_writes_nothing(headers):
    client = logged_in(make_user())
    with_csrf(client)
    assert add_item(client, headers).status_code == 403
    assert not Item.objects.exists()


@pytest.mark.parametrize("role", Role)
def test_a_login_session_has_its_users_role(role):
    client = logged_in(make_user(role=role))
    assert add_item(client, with_csrf(client)).status_code == (201 if role >= Role.EDITOR else 403)


def test_a_login_session_may_acquire_and_release():
    ada = make_user()
    workstation, item = make_workstation(ada), make_item()
    client = logged_in(ada)
    url = f"/api/items/{item}/edit-sessions"
    body = {"workstation_id": str(workstation.pk), "context_level": "sketch"}
    answer = client.post(url, body, "application/json", headers=with_csrf(client))
    assert answer.status_code == 200
    url += f"/{answer.json()['id']}"
    assert client.delete(url).status_code == 403
    assert client.delete(url, headers=with_csrf(client)).status_code == 204
    assert not EditSession.objects.exists()


@pytest.mark.parametrize("header", ["Bearer silo_wrong", "Basic x", "", "Bearer"])
def test_a_bad_header_beside_a_good_cookie_is_refused(header):
    client = logged_in(make_user())
    assert client.get("/api/items").status_code == 200
    answer = client.get("/api/items", headers={"Authorization": header})
    assert answer.status_code == 401


def test_a_good_token_beside_a_cookie_needs_no_csrf_token():
    ada, bob = make_user(), make_user("bob")
    client = logged_in(ada)
    headers = {"Authorization": f"Bearer {make_token(bob)}"}
    assert add_item(client, headers).status_code == 201


@pytest.mark.parametrize("fate", ["logged out", "deactivated", "new password"])
def test_an_ended_login_session_is_none(fate):
    ada = make_user()
    client = logged_in(ada)
    cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
    if fate == "logged out":
        client.logout()
        client.cookies[settings.SESSION_COOKIE_NAME] = cookie
    elif fate == "deactivated":
        ada.is_active = False
    else:
        ada.set_password("battery staple")
    ada.save()
    assert client.get("/api/items").status_code == 401


@pytest.mark.parametrize(
    "cookie", ['""', "x", "nosuchsession", r'"\000aaaaaaaaa"', r'"\012aaaaaaaaa"', "a" * 50_000]
)
def test_a_made_up_cookie_is_none(cookie):
    headers = {"Cookie": f"{settings.SESSION_COOKIE_NAME}={cookie}"}
    assert Client().get("/api/items", headers=headers).status_code == 401


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=x",
        "multipart/form-data; boundary=\xff",
        "application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded; charset=latin-1",
    ],
)
@pytest.mark.parametrize(
    "body", [b"", b"part_number=A", b"--x\r\n\r\n--x--", b'{"part_number": 7}']
)
def test_a_form_is_no_json(content_type, body):
    client = logged_in(make_user())
    headers = with_csrf(client)
    answer = client.generic("POST", "/api/items", body, content_type, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["error"] in {"invalid", "invalid_json"}
    assert not Item.objects.exists()
