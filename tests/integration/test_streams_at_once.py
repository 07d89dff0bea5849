"""Which event streams are granted without the database, where the token is known: as the database grants them."""

from io import BytesIO

import pytest
from django.core.handlers.asgi import ASGIRequest

from events_app.presence.backend import StreamRequest
from sessions_app import credentials
from sessions_app.errors import DomainError
from sessions_app.roles import Role
from sessions_app.stream_grants import resolve_all, resolve_at_once
from tests.factories import make_token, make_user, make_workstation

pytestmark = pytest.mark.django_db


def scope_request(query, token, **headers):
    """A request as the server gives it."""
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/api/events",
        "query_string": query.encode(),
        "headers": [
            (b"authorization", f"Bearer {token}".encode()),
            *((name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()),
        ],
    }
    return StreamRequest(lambda: ASGIRequest(scope, BytesIO()), {}, 0, scope)


@pytest.fixture
def all_known(monkeypatch):
    """Every valid token is known, as it is in a process that has asked for it."""
    known = lambda token: credentials.of_tokens({token}).get(token)  # noqa: E731
    monkeypatch.setattr(credentials, "known", known)


@pytest.fixture
def viewer():
    return make_user("ada", Role.VIEWER)


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("workstation_id={own}", {}),
        ("workstation_id={own}&ack=true&all=true", {}),
        ("workstation_id={own}&last_event_id=a-1", {"last_event_id": "b-2"}),
        ("workstation_id={own}&last_event_id=a-1", {"silo_machine": " m%C3%BC "}),
        ("all=true", {"last_event_id": ""}),
        ("all=True", {}),
        ("", {}),
        ("ack=true&all=true", {}),
        ("workstation_id=5", {}),
        ("workstation_id={own}", {"silo_machine": "m" * 1000}),
        ("workstation_id={own}&workstation_id=%7Bx", {}),
    ],
)
@pytest.mark.parametrize("role", [Role.EDITOR, Role.ADMIN])
def test_what_is_granted_at_once_is_what_the_database_grants(all_known, role, query, headers):
    bob = make_user("bob", role)
    request = scope_request(query.format(own=make_workstation(bob).pk), make_token(bob), **headers)
    at_once, (asked,) = resolve_at_once(request), resolve_all([request])
    if isinstance(asked, DomainError):
        assert (type(at_once), at_once.message) == (type(asked), asked.message)
    else:
        assert at_once == asked


def test_a_known_user_without_a_role_is_refused_at_once(all_known):
    token = make_token(make_user("nobody", None))
    assert resolve_at_once(scope_request("all=true", token)).status == 403


@pytest.mark.parametrize(
    "query",
    ["item=P1", "item=P1&all=true", "workstation_id={own}", "&".join(["a=b"] * 1001)],
)
def test_what_needs_the_database_is_not_said_at_once(all_known, viewer, query):
    """Credentials that only watch have no arrival, at which the owner of the workstation were asked."""
    own = make_workstation(viewer).pk
    token = make_token(viewer, Role.VIEWER)
    assert resolve_at_once(scope_request(query.format(own=own), token)) is None


def test_nor_is_what_comes_in_another_way(all_known, viewer):
    token = make_token(viewer)
    usual = scope_request("all=true", token)
    assert resolve_at_once(usual) is not None
    for change in (
        {"method": "HEAD"},
        {"method": "POST"},
        {"headers": []},
        {"headers": [(b"authorization", b"Basic eDp5")]},
        {"headers": [(b"authorization", b"Bearer silo_other")]},
        {"headers": [*usual.scope["headers"], (b"last-event-id", b"1"), (b"last-event-id", b"2")]},
    ):
        other = StreamRequest(lambda: None, {}, 0, usual.scope | change)
        assert resolve_at_once(other) is None, change
    assert (
        resolve_at_once(StreamRequest(lambda: None, {"part_number": "P"}, 0, usual.scope)) is None
    )
