"""Every error in one envelope, whoever answers it."""

import logging

import pytest
from django.conf import settings
from django.contrib.sessions.middleware import SessionMiddleware
from django.db import DataError, InterfaceError, OperationalError
from django.test import Client

from sessions_app import operations
from sessions_app.models.api_token import ApiTokenQuerySet
from tests.factories import (
    A_SENTENCE,
    Api,
    api_of,
    counts,
    make_item,
    make_token,
    make_user,
    make_workstation,
)

pytestmark = pytest.mark.django_db


def check_envelope(answer, status, code):
    assert answer.status_code == status
    assert answer["Content-Type"] == "application/json"
    assert answer.json() == {"error": code, "message": A_SENTENCE}


@pytest.mark.parametrize(
    "path",
    [
        "/api/",
        "/api/nothing",
        "/api/items/",
        "/api/items/A01-0001",
        "/api/items//edit-sessions",
        "/api/items/A01-0001/edit-sessions/not-a-uuid",
        "/api/items/A01-0001/edit-sessions/",
        "/api/edit-sessions/history/nothing",
        "/api/workstations/not-a-uuid",
        "/api/%00",
        "/api/a%0Ab",
        "/api/..%2f..%2fetc/passwd",
    ],
)
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_an_unknown_address_is_404(method, path):
    check_envelope(api_of(make_user())(method, path), 404, "not_found")


@pytest.mark.parametrize("path", ["/nothing", "/apiary", "/static/nothing", "/%00"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_every_unknown_path_is_404(method, path):
    check_envelope(Client(enforce_csrf_checks=True).generic(method, path), 404, "not_found")


def test_the_admin_site_has_pages():
    answer = Client().get("/admin/nothing", follow=True)
    assert answer["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("path", ["/", "/health", "/ready", "/api/docs", "/api/openapi.json"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_a_method_is_unknown_without_any_token(method, path):
    answer = Client(enforce_csrf_checks=True).generic(method, path)
    check_envelope(answer, 405, "method_not_allowed")
    assert answer["Allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/health",
        "/ready",
        "/api/docs",
        "/api/openapi.json",
        "/api/items",
        "/api/edit-sessions",
        "/api/edit-sessions/history?format=csv",
        "/api/items?limit=0",
        "/api/nothing",
        "/nothing",
    ],
)
def test_head_is_answered_as_get_is_without_a_body(path):
    make_item()
    api = api_of(make_user())
    head, get = api("HEAD", path), api("GET", path)
    assert head.status_code == get.status_code
    for name in ("Content-Type", "Cache-Control", "Location", "X-Next"):
        assert head.headers.get(name) == get.headers.get(name)
    assert int(get["Content-Length"]) == len(get.content)
    assert head["Content-Length"] == get["Content-Length"]
    assert not head.content


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health", 200),
        ("GET", "/ready", 503),
        ("GET", "/", 302),
        ("GET", "/nothing", 404),
        ("GET", "/api/items", 200),
        ("GET", "/api/edit-sessions/history?format=csv", 200),
        ("GET", "/api/items?limit=0", 422),
        ("PUT", "/api/items", 405),
        ("DELETE", "/api/workstations/3f9d1b0e-6c5a-4f0e-9d6b-1f2e3d4c5b6a", 404),
    ],
)
def test_answers_of_the_api_are_not_cached(method, path, status):
    answer = api_of(make_user())(method, path)
    assert (answer.status_code, answer["Cache-Control"]) == (status, "no-store")


@pytest.mark.parametrize("path", ["/admin/", "/admin/login/"])
def test_a_cookie_that_cannot_be_one_is_none(path):
    headers = {"Cookie": r'sessionid="\000aaaaaaaaa"'}
    assert Client().get(path, headers=headers).status_code in {200, 302}


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/api/items", {"GET", "HEAD", "POST"}),
        ("PATCH", "/api/workstations", {"GET", "HEAD", "POST"}),
        ("OPTIONS", "/api/edit-sessions", {"GET", "HEAD"}),
        ("DELETE", "/api/items/A01-0001/edit-sessions", {"GET", "HEAD", "POST"}),
        ("GET", "/api/items/A/edit-sessions/3f9d1b0e-6c5a-4f0e-9d6b-1f2e3d4c5b6a", {"DELETE"}),
        ("POST", "/api/workstations/3f9d1b0e-6c5a-4f0e-9d6b-1f2e3d4c5b6a", {"DELETE"}),
        ("HEAD", "/api/edit-sessions/batch", {"POST"}),
        ("BREW", "/api/items", {"GET", "HEAD", "POST"}),
    ],
)
def test_an_unknown_method_is_405_and_says_which_are_known(method, path, allowed):
    answer = api_of(make_user())(method, path)
    if method != "HEAD":
        check_envelope(answer, 405, "method_not_allowed")
    assert answer.status_code == 405
    assert set(answer["Allow"].split(", ")) == allowed


@pytest.mark.parametrize("path", ["/api/nothing/", "/api/items", "/health", "/admin/", "/nothing"])
def test_a_foreign_host_is_refused_in_the_envelope_which_says_why(path):
    answer = Client().get(path, headers={"Host": "evil"})
    check_envelope(answer, 400, "invalid_request")
    assert "allowed_hosts" in answer.json()["message"]


@pytest.mark.parametrize("extra", [1, settings.DATA_UPLOAD_MAX_MEMORY_SIZE])
@pytest.mark.parametrize(
    "path", ["/api/workstations", "/api/items", "/api/items/A01-0001/edit-sessions"]
)
def test_a_body_over_8_mb_is_413(path, extra):
    before = counts()
    answer = api_of(make_user())("POST", path, b" " * (8 * 1024 * 1024 + extra))
    check_envelope(answer, 413, "body_too_large")
    assert counts() == before


def test_a_body_of_8_mb_is_read():
    body = b'{"part_number": "A02-0001"}'.ljust(8 * 1024 * 1024)
    assert api_of(make_user())("POST", "/api/items", body).status_code == 201


def test_a_length_that_was_only_claimed_is_413_too():
    answer = api_of(make_user())("POST", "/api/items", b"{}", CONTENT_LENGTH="99999999")
    check_envelope(answer, 413, "body_too_large")


def failing(error):
    def fail(*args, **kwargs):
        raise error

    return fail


def try_to_acquire():
    ada = make_user()
    body = {"workstation_id": make_workstation(ada).pk, "context_level": "sketch"}
    return api_of(ada)("POST", f"/api/items/{make_item()}/edit-sessions", body)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("the key is hunter2"),
        KeyError("hunter2"),
        DataError("hunter2"),
        TypeError("1 required positional argument: 'hunter2'"),
        RecursionError("hunter2"),
    ],
)
def test_a_failure_is_logged_and_not_told(monkeypatch, caplog, error):
    monkeypatch.setattr(operations.sets, "acquire_set", failing(error))
    answer = try_to_acquire()
    check_envelope(answer, 500, "internal_error")
    assert b"hunter2" not in answer.content
    assert b"Traceback" not in answer.content
    [record] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.exc_info[1] is error
    assert record.path == "/api/items/A01-0001/edit-sessions"


@pytest.mark.parametrize("error", [OperationalError("at hunter2"), InterfaceError("hunter2")])
def test_a_database_that_is_away_is_503(monkeypatch, caplog, error):
    monkeypatch.setattr(operations.sets, "acquire_set", failing(error))
    answer = try_to_acquire()
    check_envelope(answer, 503, "unavailable")
    assert answer["Retry-After"] == "1"
    assert b"hunter2" not in answer.content
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_also_while_the_credentials_are_looked_up(monkeypatch):
    monkeypatch.setattr(ApiTokenQuerySet, "authenticate_all", failing(OperationalError("away")))
    check_envelope(Api(make_token(make_user()))("GET", "/api/items"), 503, "unavailable")


def test_a_failure_before_the_api_has_the_error_envelope(monkeypatch):
    monkeypatch.setattr(SessionMiddleware, "process_request", failing(RuntimeError("hunter2")))
    answer = Client(raise_request_exception=False).get("/api/items")
    check_envelope(answer, 500, "internal_error")


def test_a_refusal_names_what_is_wrong_and_where():
    answer = api_of(make_user())("POST", "/api/items", {"part_number": "A\0", "colour": "red"})
    assert answer.status_code == 422
    assert answer.json() == {
        "error": "invalid",
        "message": "body.part_number: control characters are not allowed",
        "faults": [
            {"where": "body.part_number", "why": "control characters are not allowed"},
            {"where": "body.colour", "why": "Extra inputs are not permitted"},
        ],
    }


def test_a_refusal_of_a_million_faults_is_short():
    body = {f"unknown {number}" * 100: number for number in range(5_000)}
    answer = api_of(make_user())("POST", "/api/items", body)
    assert answer.status_code == 422
    assert len(answer.content) < 10_000
