"""Tokens and users that are no longer good, on every process."""

from django.contrib.auth import get_user_model
from django.db.models.functions import Now

from sessions_app.models import ApiToken, EditSession, EndedSession
from sessions_app.roles import Role
from tests.factories import make_token
from tests.processes.service import Client
from tests.waiting import eventually


def test_a_revoked_token_closes_its_streams_everywhere_without_a_departure(serve, client_of, part):
    ada, other = client_of(serve()), serve()
    workstation = ada.workstation()
    here = ada.stream(workstation_id=workstation)
    ada.acquire(part, workstation)
    ada.server = other
    there = ada.stream(all="true")
    ApiToken.objects.update(revoked_at=Now())
    here.line("closed")
    there.line("closed")
    assert EditSession.objects.count() == 1
    assert ada.call("GET", "/api/workstations").status_code == 401


def test_an_expired_token_closes_its_streams_too(serve, client_of):
    ada = client_of(serve())
    stream = ada.stream(all="true")
    ApiToken.objects.update(expires_at=Now())
    stream.line("closed")


def test_a_deactivated_users_sessions_are_released_and_its_streams_closed(serve, client_of, part):
    ada, bob = client_of(server := serve(), "ada"), client_of(server, "bob")
    watching = bob.stream(item=part)
    workstation = ada.workstation()
    stream = ada.stream(workstation_id=workstation)
    ada.acquire(part, workstation)
    user = get_user_model().objects.get(username="ada")
    user.is_active = False
    user.save()
    assert watching.event("edit.session_released")["data"]["reason"] == "force_released"
    stream.line("closed")
    assert EndedSession.objects.get().note == "The user was deactivated."


def test_the_sweeper_finds_what_a_deactivation_by_update_left(runsweeper, serve, client_of, part):
    ada = client_of(serve())
    workstation = ada.workstation()
    ada.acquire(part, workstation)
    get_user_model().objects.update(is_active=False)
    sweeper = runsweeper()
    sweeper.line("released session of a deactivated user")
    eventually(lambda: EndedSession.objects.filter(reason="force_released").exists())


def test_a_deleted_workstations_stream_is_closed(serve, client_of):
    ada = client_of(serve())
    workstation = ada.workstation()
    stream = ada.stream(workstation_id=workstation)
    assert ada.call("DELETE", f"/api/workstations/{workstation}").status_code == 204
    stream.line("closed")


def test_a_stream_whose_credentials_may_end_nothing_only_watches(serve, client_of, part):
    """Its end releases nothing, and it keeps nothing that would have been released."""
    editor = client_of(serve())
    workstation = editor.workstation()
    user = get_user_model().objects.get()
    viewer = Client(editor.server, make_token(user, Role.VIEWER))
    watching = editor.stream(all="true")
    keeping = editor.stream(workstation_id=workstation)
    editor.acquire(part, workstation)
    opened = viewer.stream(workstation_id=workstation)
    opening = opened.event("stream-open")["data"]
    assert len(opening["sessions"]) == 1
    assert opening["connection_id"]
    opened.close()
    second = viewer.stream(workstation_id=workstation)
    second.event("stream-open")
    assert EditSession.objects.count() == 1
    keeping.close()
    assert watching.event("edit.session_released")["data"]["reason"] == "disconnected"
    assert second.event("edit.session_released")
    second.close()
