"""The record in the admin site is read-only."""

import pytest

from sessions_app import operations
from sessions_app.admin import base
from sessions_app.models import EndedSession
from tests.factories import let_go
from tests.integration.admin_site import listed, make_sessions, text_of

pytestmark = pytest.mark.django_db


def test_record_is_read_only(boss):
    (session,) = make_sessions(1)
    let_go(session.pk)
    page = "/admin/sessions_app/endedsession/"
    record = EndedSession.objects.get()
    assert boss.get(page + "add/").status_code == 403
    assert boss.post(f"{page}{record.pk}/change/", {"note": "x"}).status_code == 403
    assert boss.post(f"{page}{record.pk}/delete/", {"post": "yes"}).status_code == 403
    body = {"action": "delete_selected", "post": "yes", "_selected_action": record.pk}
    boss.post(page, body)
    assert EndedSession.objects.get().note == ""


def test_record_is_filtered_and_counts_no_more_than_it_shows(boss, monkeypatch):
    sessions = make_sessions(4)
    operations.release.force_release(sessions[0].pk, by="boss", note="because")
    for session in sessions[1:]:
        let_go(session.pk)
    page = "/admin/sessions_app/endedsession/"
    forced = EndedSession.objects.get(session_id=sessions[0].pk).pk
    assert listed(boss.get(page + "?reason__exact=force_released")) == {forced}
    assert listed(boss.get(page + "?q=P-0")) == {forced}
    assert listed(boss.get(page + "?released_at__lt=2000-01-01 00:00:00%2B00:00")) == set()
    assert "because" in text_of(boss.get(f"{page}{forced}/change/"))
    monkeypatch.setattr(base, "MAX_COUNTED", 3)
    assert boss.get(page).context["cl"].result_count == 3
