"""Who gets a page of the board: anybody who is logged in, is active, and has a role."""

import logging
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils.functional import SimpleLazyObject

from board_app.pages import sessions
from sessions_app.roles import Role
from silo.request_shares import PageLoginMiddleware
from tests.factories import make_user
from tests.integration.admin_site import client_of, text_of
from tests.integration.test_security_headers import check_page

pytestmark = pytest.mark.django_db

FILES = Path(__file__).parents[2] / "board_app/static/board"
PASSWORD, NEW = "correct horse", "battery staple 7"
LOG_IN = reverse("board:log_in")
PAGES = [reverse("board:sessions"), reverse("board:password"), reverse("board:tokens")]


def log_in(name: str = "ada", password: str = PASSWORD, **fields: str) -> tuple[Client, Any]:
    client = Client()
    return client, client.post(LOG_IN, {"username": name, "password": password, **fields})


@pytest.mark.parametrize("role", Role)
def test_anybody_with_a_role_logs_in_and_sees_the_board(role):
    make_user("ada", role)
    client, answer = log_in()
    assert (answer.status_code, answer["Location"]) == (302, "/")
    page = client.get("/")
    assert page.status_code == 200
    check_page(page)
    assert "Log out" in text_of(page)
    assert "Admin site" not in text_of(page)


def test_staff_find_the_admin_site():
    make_user("ada", Role.VIEWER, is_staff=True)
    client, _ = log_in()
    assert f'href="{reverse("admin:index")}"' in text_of(client.get("/"))


@pytest.mark.parametrize("path", PAGES)
def test_nobody_is_led_to_the_page_for_logging_in_and_back(path):
    answer = Client().get(path)
    assert (answer.status_code, answer["Location"]) == (302, f"{LOG_IN}?next={path}")
    make_user("ada")
    assert log_in(next=path)[1]["Location"] == path


def test_a_log_in_leads_to_no_other_service():
    make_user("ada")
    assert log_in(next="https://evil.example/")[1]["Location"] == "/"


@pytest.mark.parametrize("fields", [{"role": None}, {"is_active": False}])
def test_without_a_role_or_deactivated_nobody_logs_in(fields):
    make_user("ada", **fields)
    client, answer = log_in()
    assert answer.status_code == 200
    assert 'role="alert"' in text_of(answer)
    assert client.get("/").status_code == 302


@pytest.mark.parametrize("path", PAGES)
def test_a_role_that_is_lost_later_closes_every_page(path):
    user = make_user("ada")
    client = client_of(user)
    user.groups.clear()
    answer = client.get(path)
    assert answer.status_code == 403
    check_page(answer)
    assert "This user has no role" in text_of(answer)
    assert "Log out" in text_of(answer)


def test_a_right_password_without_a_role_counts_as_no_wrong_one(caplog):
    """A department whose roles are still missing comes from one address."""
    caplog.set_level(logging.WARNING)
    for number in range(60):
        make_user(f"new-{number}").groups.clear()
        _, answer = log_in(f"new-{number}")
        assert answer.status_code == 200
        assert "This user has no role" in text_of(answer)
    assert "wrong log-in" not in caplog.text


def test_a_database_that_is_away_is_waited_for_once_and_then_said_by_the_page(settings):
    """The middleware is the first to ask for the user."""
    asked = []

    def fail():
        asked.append(True)
        raise OperationalError("gone")

    request = RequestFactory().get("/")
    request.COOKIES[settings.SESSION_COOKIE_NAME] = "of ada"
    request.scope, request.user = {}, SimpleLazyObject(fail)
    answer = PageLoginMiddleware(sessions.show)(request)
    assert (answer.status_code, asked) == (503, [True])
    assert "Reload this page" in text_of(answer)


def test_wrong_passwords_are_slowed_down_and_logged_without_them(caplog):
    make_user("ada")
    caplog.set_level(logging.WARNING)
    statuses = [log_in(password="hunter3")[1].status_code for _ in range(11)]
    assert statuses == [200] * 10 + [429]
    _, answer = log_in()
    assert answer.status_code == 429
    assert int(answer["Retry-After"]) >= 1
    assert "Too many log-ins" in text_of(answer)
    assert [record.message for record in caplog.records] == ["wrong log-in"] * 10
    assert "hunter3" not in caplog.text


def test_the_log_in_of_the_admin_site_counts_as_the_same(caplog):
    make_user("ada", is_staff=True)
    for _ in range(10):
        log_in(password="wrong")
    sent = {"username": "ada", "password": PASSWORD}
    assert Client().post("/admin/login/", sent).status_code == 429


def test_one_logs_out_by_a_button_only():
    client = client_of(make_user())
    path = reverse("board:log_out")
    assert client.get(path).status_code == 405
    assert client.get("/").status_code == 200
    answer = client.post(path)
    assert (answer.status_code, answer["Location"]) == (302, LOG_IN)
    assert client.get("/").status_code == 302


def test_one_changes_ones_password_and_stays_logged_in():
    client = client_of(make_user("ada"))
    sent = {"old_password": PASSWORD, "new_password1": NEW, "new_password2": NEW}
    check_page(client.get(reverse("board:password")))
    answer = client.post(reverse("board:password"), sent, follow=True)
    assert "Your password was changed." in text_of(answer)
    assert log_in(password=PASSWORD)[1].status_code == 200
    assert log_in(password=NEW)[1].status_code == 302


def test_the_old_password_is_guessed_no_faster_than_at_a_log_in():
    client = client_of(make_user("ada"))
    sent = {"old_password": "wrong", "new_password1": NEW, "new_password2": NEW}
    statuses = [client.post(reverse("board:password"), sent).status_code for _ in range(11)]
    assert statuses == [200] * 10 + [429]


def test_forged_forms_are_refused_with_a_page():
    client = Client(enforce_csrf_checks=True)
    for path in (LOG_IN, reverse("board:log_out"), reverse("board:password")):
        answer = client.post(path, {})
        assert answer.status_code == 403
        check_page(answer)
        assert "reload the page" in text_of(answer)


def test_a_database_that_is_away_is_a_page_that_says_so(monkeypatch):
    client = client_of(make_user())

    def fail(*_: object) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr("board_app.access.principal_of_login", fail)
    answer = client.get("/")
    assert answer.status_code == 503
    assert answer["Retry-After"] == "2"
    check_page(answer)
    assert "Reload this page" in text_of(answer)


def test_pages_and_files_are_there_without_a_log_in():
    page = Client().get(LOG_IN)
    check_page(page)
    for name in ("board.css", "icon.svg"):
        assert f"/static/board/{name}" in text_of(page)
    for name in ("board.css", "board.js", "live.js", "icon.svg"):
        answer = Client().get(f"/static/board/{name}")
        # Whole: Django warns of a file that is read piece by piece, in an application of ASGI.
        assert (answer.status_code, answer.streaming) == (200, False)
        assert answer.content == (FILES / name).read_bytes()
