"""`/api/me`: who asks, and the tokens that users make for themselves."""

import json
from datetime import timedelta

import pytest
from django.db.models import F
from django.db.models.functions import Now
from django.test import Client

from sessions_app.models import ApiToken
from sessions_app.operations import tokens
from sessions_app.roles import Role
from tests.factories import A_SENTENCE, Api, api_of, make_token, make_user

pytestmark = pytest.mark.django_db

ME, TOKENS = "/api/me", "/api/me/tokens"
PLUG_IN = {"name": "CAD plug-in"}


@pytest.fixture
def ada():
    return make_user(first_name="Ada", last_name="Lovelace")


@pytest.fixture
def browser(ada, client):
    """Calls the API by a login session."""
    client.force_login(ada)
    return lambda method, path, body=None: client.generic(
        method, path, "" if body is None else json.dumps(body), "application/json"
    )


def test_a_log_in_has_a_role_and_no_token(ada, browser):
    said = {"user": "ada", "user_name": "Ada Lovelace", "role": "editor", "token": None}
    assert browser("GET", ME).json() == said


def test_a_token_says_to_what_it_is_limited_and_until_when(ada):
    row, token = ApiToken.objects.issue(ada, "CAD", "viewer", timedelta(days=3))
    said = Api(token)("GET", ME).json()
    assert said["role"] == "viewer"
    assert said["token"]["prefix"] == row.shown == token[:13]
    assert (said["token"]["name"], said["token"]["role"]) == ("CAD", "viewer")
    assert said["token"]["expires_at"] is not None
    assert "token" not in said["token"]


def test_without_a_role_one_is_told_so():
    assert api_of(make_user("bob", None))("GET", ME).json()["role"] is None


def test_a_token_is_made_shown_once_and_good(ada, browser):
    answer = browser("POST", TOKENS, PLUG_IN | {"role": "editor", "days": 7})
    assert answer.status_code == 201
    made = answer.json()
    assert answer["Cache-Control"] == "no-store"
    assert Api(made["token"])("GET", ME).json()["token"]["id"] == made["id"]
    [listed] = browser("GET", TOKENS).json()["tokens"]
    assert listed.keys() == made.keys() - {"token"}
    row = ApiToken.objects.filter(expires_at=F("created_at") + timedelta(days=7)).get()
    assert (row.user, row.role, row.shown) == (ada, "editor", made["prefix"])


def test_by_default_it_is_a_viewers_for_three_months(browser):
    assert browser("POST", TOKENS, PLUG_IN).json()["role"] == "viewer"
    assert ApiToken.objects.get(expires_at=F("created_at") + timedelta(days=90))


def test_it_allows_no_more_than_ones_own_role(browser):
    answer = browser("POST", TOKENS, PLUG_IN | {"role": "admin"})
    assert (answer.status_code, answer.json()["error"]) == (403, "forbidden")
    assert answer.json()["message"] == "Your role is editor: a token of yours cannot allow more."
    assert not ApiToken.objects.exists()


@pytest.mark.parametrize("days", [0, -1, 367, 1.5, "7", None])
def test_it_has_an_end(browser, days):
    assert browser("POST", TOKENS, PLUG_IN | {"days": days}).status_code == 422
    assert not ApiToken.objects.exists()


def test_a_token_makes_none(ada):
    answer = Api(make_token(ada))("POST", TOKENS, PLUG_IN)
    assert (answer.status_code, answer.json()["error"]) == (403, "forbidden")
    assert ApiToken.objects.count() == 1


def test_nor_does_a_page_of_a_foreign_origin(ada):
    client = Client(enforce_csrf_checks=True)
    client.force_login(ada)
    assert client.post(TOKENS, PLUG_IN, "application/json").status_code == 403
    assert not ApiToken.objects.exists()


def test_nor_a_user_who_lost_the_role_meanwhile(ada):
    ada.groups.clear()
    with pytest.raises(tokens.Forbidden):
        tokens.make(ada, "CAD", Role.VIEWER, timedelta(days=1))


def test_one_revokes_ones_own(ada, browser):
    made = browser("POST", TOKENS, PLUG_IN).json()
    assert browser("DELETE", f"{TOKENS}/{made['id']}").status_code == 204
    assert Api(made["token"])("GET", ME).status_code == 401
    assert browser("DELETE", f"{TOKENS}/{made['id']}").status_code == 404
    assert browser("GET", TOKENS).json()["tokens"] == []


def test_and_nobody_elses(browser):
    token = make_token(make_user("bob"))
    assert browser("DELETE", f"{TOKENS}/{ApiToken.objects.get().pk}").status_code == 404
    assert Api(token)("GET", ME).status_code == 200


def test_a_token_knows_and_revokes_itself_only(ada):
    first, other = make_token(ada), make_token(ada, Role.VIEWER)
    one, two = ApiToken.objects.order_by("pk")
    assert [found["id"] for found in Api(first)("GET", TOKENS).json()["tokens"]] == [one.pk]
    refused = Api(first)("DELETE", f"{TOKENS}/{two.pk}")
    assert refused.json() == {"error": "not_found", "message": A_SENTENCE}
    assert Api(other)("DELETE", f"{TOKENS}/{two.pk}").status_code == 204
    assert Api(first)("GET", ME).status_code == 200


def test_a_list_has_pages(browser):
    for _ in range(3):
        browser("POST", TOKENS, PLUG_IN)
    first = browser("GET", TOKENS + "?limit=2").json()
    rest = browser("GET", f"{TOKENS}?limit=2&before={first['next']}").json()
    ids = [one["id"] for page in (first, rest) for one in page["tokens"]]
    assert ids == sorted(ids, reverse=True)
    assert (len(ids), rest["next"]) == (3, None)


def test_nobody_makes_more_than_some(browser, monkeypatch):
    monkeypatch.setattr(tokens, "MOST_OWN", 2)
    made = [browser("POST", TOKENS, PLUG_IN).json() for _ in range(2)]
    # Revoked ones of today count, too.
    browser("DELETE", f"{TOKENS}/{made[0]['id']}")
    answer = browser("POST", TOKENS, PLUG_IN)
    told = {"error": "too_many_tokens", "message": A_SENTENCE, "limit": 2, "held": 2}
    assert (answer.status_code, answer.json()) == (422, told)
    ApiToken.objects.update(created_at=Now() - timedelta(days=2))
    assert browser("POST", TOKENS, PLUG_IN).status_code == 201
    assert browser("POST", TOKENS, PLUG_IN).status_code == 422
