"""The page on which users make and revoke their own tokens."""

import re

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse

from sessions_app.models import ApiToken
from sessions_app.operations import tokens
from sessions_app.roles import Role
from tests.factories import Api, make_token, make_user
from tests.integration.admin_site import client_of, text_of
from tests.integration.test_security_headers import check_page

pytestmark = pytest.mark.django_db

PAGE = reverse("board:tokens")
GIVEN = {"name": "CAD plug-in", "role": "editor", "days": "7"}


def revoking(token):
    return reverse("board:revoke_token", args=[token.pk])


@pytest.fixture
def ada():
    return make_user()


@pytest.fixture
def browser(ada):
    return client_of(ada)


def test_a_token_is_shown_in_the_answer_that_makes_it_and_never_again(browser):
    answer = browser.post(PAGE, GIVEN)
    check_page(answer)
    assert answer["Cache-Control"] == "no-store"
    [token] = re.findall(r"<code>(silo_[\w-]{43})</code>", text_of(answer))
    assert Api(token)("GET", "/api/me").json()["role"] == "editor"
    again = text_of(browser.get(PAGE))
    assert token not in again
    assert f"{token[:13]}…" in again
    assert "CAD plug-in" in again


def test_roles_above_ones_own_are_not_offered_nor_taken(browser):
    assert re.findall(r'<option value="(\w+)"', text_of(browser.get(PAGE))) == ["viewer", "editor"]
    assert "Select a valid choice" in text_of(browser.post(PAGE, GIVEN | {"role": "admin"}))
    assert not ApiToken.objects.exists()


@pytest.mark.parametrize(
    "wrong", [{"name": ""}, {"name": "a\u202eb"}, {"days": "0"}, {"days": "367"}, {"days": "x"}]
)
def test_what_is_wrong_is_said_and_makes_none(browser, wrong):
    answer = browser.post(PAGE, GIVEN | wrong)
    assert answer.status_code == 200
    assert 'class="errors"' in text_of(answer)
    assert not ApiToken.objects.exists()


def test_the_limit_is_said(browser, monkeypatch):
    monkeypatch.setattr(tokens, "MOST_OWN", 1)
    browser.post(PAGE, GIVEN)
    assert "You have 1 tokens" in text_of(browser.post(PAGE, GIVEN))
    assert ApiToken.objects.count() == 1


def test_one_is_revoked(ada, browser):
    token = make_token(ada)
    answer = browser.post(revoking(ApiToken.objects.get()), follow=True)
    assert "The token is revoked." in text_of(answer)
    assert "You have no valid token." in text_of(answer)
    assert Api(token)("GET", "/api/me").status_code == 401


def test_nobody_elses_is_shown_or_revoked(browser):
    make_token(make_user("bob"))
    [token] = ApiToken.objects.all()
    assert token.shown not in text_of(browser.get(PAGE))
    answer = browser.post(revoking(token))
    assert answer.status_code == 404
    check_page(answer)
    assert ApiToken.objects.valid().count() == 1


def test_pages_of_foreign_origins_do_neither(ada):
    client = Client(enforce_csrf_checks=True)
    client.force_login(ada)
    make_token(ada)
    for path in (PAGE, revoking(ApiToken.objects.get())):
        assert client.post(path, GIVEN).status_code == 403
    assert ApiToken.objects.valid().count() == 1


def test_a_token_has_the_first_of_its_states(ada):
    """Revoked goes before deactivated, and that before expired: what somebody did goes before what time did."""
    token, _ = ApiToken.objects.issue(ada, "one", Role.VIEWER.group, None)
    row = ApiToken.objects.filter(pk=token.pk)
    for table, change, state in (
        (row, {}, "valid"),
        (row, {"expires_at": Now()}, "expired"),
        (User.objects, {"is_active": False}, "deactivated"),
        (row, {"revoked_at": Now()}, "revoked"),
    ):
        if change:
            table.update(**change)
        assert row.with_state().get().state == state
        assert row.valid().exists() == (state == "valid")


def test_names_are_shown_as_text(ada, browser):
    ApiToken.objects.issue(ada, "<b>x</b>", Role.VIEWER.group, None)
    assert "&lt;b&gt;x&lt;/b&gt;" in text_of(browser.get(PAGE))
