"""What the log says of sessions, tokens and log-ins: the level, the words and the ids of each line."""

import logging
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.test import Client

from sessions_app import operations
from sessions_app.models import ApiToken, EditSession
from sessions_app.roles import Role
from tests.factories import (
    acquire,
    api_of,
    depart,
    make_connected,
    make_item,
    make_user,
    session_url,
    stand,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def said(caplog):
    """Of the records of a level and above: level, message and the asked-for members, if they are there."""
    caplog.set_level(logging.DEBUG, "sessions_app")

    def said(*members, least=logging.DEBUG):
        return [
            (one.levelname, one.message, *(getattr(one, name, None) for name in members))
            for one in caplog.records
            if one.name.startswith("sessions_app") and one.levelno >= least
        ]

    return said


@pytest.fixture
def ada():
    return make_connected("ada")


@pytest.fixture
def bob():
    return make_connected("bob")


def test_acquires_and_releases_are_told_at_debug(ada, said):
    session = acquire(ada, make_item()).session
    acquire(ada, session.item)
    api_of(ada.user)("DELETE", session_url(session))
    ids = (session.pk, ada.pk, "ada", "A01-0001")
    members = ("session", "workstation_id", "user", "item")
    assert [line for line in said(*members) if line[1].startswith("session")] == [
        ("DEBUG", "session acquired", *ids),
        ("DEBUG", "session refreshed", *ids),
        ("DEBUG", "session released", *ids),
    ]


def test_what_is_not_logged_is_not_kept_for_the_commit(
    ada, caplog, django_capture_on_commit_callbacks
):
    caplog.set_level(logging.INFO, "sessions_app")
    with django_capture_on_commit_callbacks() as kept:
        session = acquire(ada, make_item()).session
        operations.release.release_many(ada.user, [session.pk])
    assert kept == []


def test_a_departure_is_one_line_with_what_it_released(ada, said):
    for number in range(30):
        acquire(ada, make_item(f"A01-{number:04}"))
    depart(ada)
    [line] = said("workstation_id", "workstation", "user", "released", "items", least=logging.INFO)
    *told, items = line
    assert told == ["INFO", "workstation departed", ada.pk, "ada's", "ada", 30]
    assert len(items) == 21
    assert items[-1] == "and 10 more"


def test_so_is_one_that_held_nothing(ada, said):
    depart(ada)
    line = ("INFO", "workstation departed", ada.pk, 0)
    assert said("workstation_id", "released", least=logging.INFO) == [line]


def test_with_a_grace_it_is_away(ada, said, settings):
    settings.EVENTS_DISCONNECT_GRACE = timedelta(seconds=15)
    acquire(ada, make_item())
    depart(ada)
    line = ("INFO", "workstation away", ada.pk, 1, 15.0)
    assert said("workstation_id", "kept", "grace_seconds", least=logging.INFO) == [line]


def test_a_deleted_workstation_is_told_with_who_deleted_it(ada, said):
    acquire(ada, make_item())
    api_of(make_user("root", Role.ADMIN))("DELETE", f"/api/workstations/{ada.pk}")
    lines = said("workstation_id", "released", "by", least=logging.INFO)
    assert ("INFO", "workstation deleted", ada.pk, 1, "root") in lines


def test_a_force_release_is_a_warning_with_who_and_why(ada, said):
    session = acquire(ada, make_item()).session
    root = api_of(make_user("root", Role.ADMIN))
    root("DELETE", session_url(session, "force-release") + "?reason=Holiday")
    lines = said("session", "user", "item", "by", "why", least=logging.WARNING)
    told = (session.pk, "ada", "A01-0001", "root", "Holiday")
    assert lines == [("WARNING", "session force-released", *told)]


def test_a_turn_in_line_is_told(ada, bob, said):
    held = acquire(ada, make_item()).session
    stand(bob, held.item)
    operations.release.release_many(ada.user, [held.pk])
    line = ("INFO", "session granted", EditSession.objects.get().pk, bob.pk, "bob")
    assert said("session", "workstation_id", "user", least=logging.INFO) == [line]


def test_a_hand_over_is_told_with_whom_it_goes_to(ada, bob, said):
    held = acquire(ada, make_item()).session
    stand(bob, held.item)
    operations.handoff.hand_off(ada.user, held.pk, bob.pk)
    lines = said("session", "to", "to_workstation_id", least=logging.INFO)
    assert ("INFO", "session handed off", held.pk, "bob's", bob.pk) in lines


def test_what_is_rolled_back_is_not_told(ada, said, monkeypatch):
    session = acquire(ada, make_item()).session

    def fail(*_, **__):
        raise LookupError

    monkeypatch.setattr("events_app.log.event_log.append", fail)
    with pytest.raises(LookupError):
        operations.release.force_release(session.pk, "root", "Holiday")
    assert said(least=logging.WARNING) == []


def test_a_deactivation_is_told_where_no_sweep_does_it(ada, said):
    session = acquire(ada, make_item()).session
    ada.user.is_active = False
    ada.user.save()
    line = ("INFO", "released session of a deactivated user", session.pk, "ada")
    assert said("session", "user", least=logging.INFO) == [line]


def test_a_token_is_told_when_made_and_revoked_and_never_shown(said, capsys, caplog):
    make_user()
    call_command("createtoken", "ada", "--role", "editor", "--name", "CAD", "--days", "7")
    token = capsys.readouterr().out.strip()
    ApiToken.objects.all().revoke("root")
    ApiToken.objects.all().revoke("root")
    members = ("token", "user", "role", "purpose", "days", "by")
    assert said(*members, least=logging.INFO) == [
        ("INFO", "token made", token[:13], "ada", "editor", "CAD", 7, None),
        ("WARNING", "token revoked", token[:13], "ada", None, None, None, "root"),
    ]
    assert all(token not in repr(vars(record)) for record in caplog.records)


def test_a_log_in_is_told_without_the_password(said, caplog):
    make_user("boss", Role.ADMIN, is_staff=True)
    form = {"username": "boss", "password": "correct horse"}
    assert Client().post("/admin/login/?next=/admin/", form).status_code == 302
    line = ("INFO", "password accepted", "boss", "127.0.0.1")
    assert said("user", "address", least=logging.INFO) == [line]
    assert all("horse" not in repr(vars(record)) for record in caplog.records)
