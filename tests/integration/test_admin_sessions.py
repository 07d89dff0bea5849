"""Edit sessions in the admin site: what is shown and found, and nothing to edit."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from sessions_app.models import EditSession, EndedSession
from tests.factories import acquire, let_go
from tests.integration.admin_site import SESSIONS, connect, listed, make_sessions, silence, text_of

pytestmark = pytest.mark.django_db


def test_list_of_sessions_shows_holder_age_and_silence(boss):
    session, other = make_sessions(2)
    connect(session.workstation)
    silence(session, minutes=7)
    past = Now() - timedelta(hours=3, minutes=4)
    EditSession.objects.filter(pk=other.pk).update(acquired_at=past)
    page = text_of(boss.get(SESSIONS))
    for text in (
        "P-0",
        "P-user-0",
        "P-cad-0",
        "sketch",
        "(whole item)",
        f">{session.fencing_token}<",
        "7 min 0 s",
        "3 h 4 min",
        "icon-yes",
        "icon-no",
    ):
        assert text in page.replace("\N{NO-BREAK SPACE}", " ")


def test_the_list_shows_meetings_with_full_names_and_notes(boss):
    first, second = make_sessions(2)
    second.user.first_name, second.user.last_name = "Grace", "Hopper"
    second.user.save()
    met = acquire(second.workstation, first.item, "Pad").session
    EditSession.objects.filter(pk=met.pk).update(note="Until Friday.")
    page = text_of(boss.get(SESSIONS))
    assert "Grace Hopper (P-user-1) on P-cad-1" in page
    assert "P-user-0 on P-cad-0" in page
    assert "Until Friday." in page
    assert "Until Friday." in text_of(boss.get(f"{SESSIONS}{met.pk}/change/"))
    assert "P-user-0 on P-cad-0" in text_of(boss.get(f"{SESSIONS}{met.pk}/change/"))
    let_go(met.pk)
    page = text_of(
        boss.get(f"/admin/sessions_app/endedsession/{EndedSession.objects.get().pk}/change/")
    )
    assert "Grace Hopper (P-user-1)" in page
    assert "Until Friday." in page
    assert " on P-cad" not in text_of(boss.get(SESSIONS))


def test_a_list_is_a_fixed_number_of_statements(boss, django_assert_max_num_queries):
    sessions = make_sessions(6)
    for session in sessions[1:]:
        acquire(session.workstation, sessions[0].item, session.workstation.name)
    with django_assert_max_num_queries(14):
        boss.get(SESSIONS)


def test_sessions_are_filtered_and_found(boss):
    sessions = make_sessions(3)
    connect(sessions[0].workstation)
    silence(sessions[1], minutes=3)
    silence(sessions[2], minutes=20)
    acquire(sessions[0].workstation, sessions[0].item, level="assembly")
    assembly = EditSession.objects.get(context_level="assembly").pk
    first, second, third = (session.pk for session in sessions)
    for query, found in {
        "connected=yes": {first, assembly},
        "connected=no": {second, third},
        "silent=1m": {second, third},
        "silent=5m": {third},
        "silent=1h": set(),
        "silent=nonsense": {first, second, third, assembly},
        "connected=nonsense": {first, second, third, assembly},
        "context_level__exact=assembly": {assembly},
        "q=P-1": {second},
        "q=P-user-2": {third},
        "q=P-cad-1": {second},
        "q=P-cad-1&connected=yes": set(),
    }.items():
        assert listed(boss.get(f"{SESSIONS}?{query}")) == found, query


def test_sessions_are_neither_added_nor_edited_nor_deleted(boss):
    (session,) = make_sessions(1)
    assert boss.get(SESSIONS + "add/").status_code == 403
    assert boss.post(f"{SESSIONS}{session.pk}/change/", {"object_id": "x"}).status_code == 403
    assert boss.post(f"{SESSIONS}{session.pk}/delete/", {"post": "yes"}).status_code == 403
    assert EditSession.objects.get().object_id == ""
