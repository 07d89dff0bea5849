"""Part numbers in addresses: spaces, slashes, any letters, and what is no part number."""

from io import BytesIO
from urllib.parse import quote, unquote

import pytest
from django.core.handlers.asgi import ASGIRequest
from django.core.handlers.base import BaseHandler

from tests.factories import acquire, api_of, make_item, make_token, make_user, make_workstation

pytestmark = pytest.mark.django_db

PART_NUMBERS = [
    "A01-0001",
    "DIN 912/M5",
    "a/b/c/d",
    "/leading",
    "trailing/",
    "//",
    "edit-sessions",
    "A/edit-sessions",
    "A/edit-sessions/edit-sessions",
    "A/edit-sessions/3f9d1b0e-6c5a-4f0e-9d6b-1f2e3d4c5b6a",
    "A/edit-sessions/3f9d1b0e-6c5a-4f0e-9d6b-1f2e3d4c5b6a/force-release",
    "A/force-release",
    "A/events",
    "events",
    "history",
    "...",
    "A/../B",
    "A/./B",
    "100%",
    "%41",
    "%2F",
    "%ff",
    "what?",
    "a=b&c=d",
    "#7",
    "a+b",
    "a;b",
    "a\\b",
    "'; DROP TABLE item; --",
    '"quoted"',
    "{part_number}",
    "<b>",
    "Größe Ø8",
    "ネジ",
    "🛠 👩🔧",
    "אבג",
    "\ufffd",
    "x" * 200,
    "🛠" * 200,
]


def on_item(part_number):
    return f"/api/items/{quote(part_number, safe='')}/edit-sessions"


@pytest.mark.parametrize("part_number", PART_NUMBERS)
def test_any_part_number_is_added_locked_listed_and_released(part_number):
    ada = make_user()
    api, workstation = api_of(ada), make_workstation(ada)
    for other in {"A", "B", "A/edit-sessions", "DIN 912", "leading", "trailing"} - {part_number}:
        make_item(other)
    answer = api("POST", "/api/items", {"part_number": part_number})
    assert (answer.status_code, answer.json()["part_number"]) == (201, part_number)
    body = {"workstation_id": workstation.pk, "context_level": "assembly"}
    answer = api("POST", on_item(part_number), body)
    assert (answer.status_code, answer.json()["part_number"]) == (200, part_number)
    session = answer.json()["id"]
    for path in (on_item(part_number), f"/api/edit-sessions?item={quote(part_number, safe='')}"):
        answer = api("GET", path)
        assert answer.status_code == 200
        assert [found["id"] for found in answer.json()["sessions"]] == [session]
    assert api("DELETE", f"{on_item(part_number)}/{session}").status_code == 204


@pytest.mark.parametrize("part_number", PART_NUMBERS)
def test_an_unknown_one_is_404(part_number):
    api = api_of(make_user())
    answer = api("GET", on_item(part_number))
    assert (answer.status_code, answer.json()["error"]) == (404, "not_found")


@pytest.mark.parametrize("part_number", PART_NUMBERS)
def test_a_session_can_be_ended_by_force_on_any_item(part_number):
    ada = make_user(role=None, is_superuser=True)
    session = acquire(make_workstation(ada), make_item(part_number)).session
    path = f"{on_item(part_number)}/{session.pk}/force-release?reason=why"
    assert api_of(ada)("DELETE", path).status_code == 204


REFUSED = [
    " ",
    "\u3000",
    ".",
    "..",
    " ..",
    "\u2024",
    "\uff0e\uff0e",
    "A\u200b",
    "👩\u200d🔧",
    "🛠\ufe0f",
    "A\u2028",
    "\u3164",
    "A\0",
    "\0",
    "A\tB",
    "A\x1b[2J",
    "A\x7f",
    "A\x85B",
    "x" * 201,
]


@pytest.mark.parametrize("part_number", REFUSED)
def test_a_malformed_part_number_is_422(part_number):
    ada = make_user()
    api, workstation = api_of(ada), make_workstation(ada)
    body = {"workstation_id": workstation.pk, "context_level": "assembly"}
    quoted = quote(part_number, safe="")
    for answer in (
        api("GET", on_item(part_number)),
        api("POST", on_item(part_number), body),
        api("GET", f"/api/edit-sessions?item={quoted}"),
        api("POST", "/api/items", {"part_number": part_number}),
    ):
        assert (answer.status_code, answer.json()["error"]) == (422, "invalid")


@pytest.mark.parametrize("part_number", ["A\nB", "A\n", "\n", "A\r\nB"])
def test_an_address_of_two_lines_does_not_exist(part_number):
    answer = api_of(make_user())("GET", on_item(part_number))
    assert answer.status_code in {404, 422}
    assert answer.json().keys() >= {"error", "message"}


# -- as the server decodes an address, where anything can stand in it --


def ask(raw_path, token):
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "path": unquote(raw_path.decode("ascii")),
        "raw_path": raw_path,
        "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"authorization", b"Bearer " + token.encode())],
    }
    django = BaseHandler()
    django.load_middleware()
    with BytesIO() as body:
        answer = django.get_response(ASGIRequest(scope, body))
    return answer.status_code, answer.content


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"DIN%20912%2fM5", 200),
        (b"DIN%20912/M5", 200),
        (b"DIN+912%2fM5", 404),
        (b"%44%49%4e%20912%2FM5", 200),
        (b"DIN%20912%252FM5", 404),
        (b"%ff", 404),
        (b"%c3%28", 404),
        (b"%ed%a0%80", 404),
        (b"%f4%90%80%80", 404),
        (b"%", 404),
        (b"%zz", 404),
        (b"%0a", 422),
        (b"A%0aB", 422),
        (b"%00", 422),
        (b"A%00B", 422),
        (b"%2e%2e", 422),
        (b"%20", 422),
        (b"%c0%80", 404),
        (b"%1b%5b2J", 422),
        (b"x" * 5_000, 422),
    ],
)
def test_escapes_find_the_right_item_or_none(raw, status):
    make_item("DIN 912/M5")
    answer, body = ask(b"/api/items/%s/edit-sessions" % raw, make_token(make_user()))
    assert answer == status
    assert (b'"error"' in body) == (status != 200)
    assert b"Traceback" not in body
