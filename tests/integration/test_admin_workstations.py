"""Workstations in the admin site: their presence, and that deleting one releases what it holds."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from events_app.models import LogEntry
from sessions_app.models import EditSession, EndedSession, EndReason, Workstation
from tests.factories import acquire, make_item
from tests.integration.admin_site import connect, listed, make_sessions, text_of

pytestmark = pytest.mark.django_db


def test_deleting_a_workstation_releases_what_it_holds(boss):
    session, other = make_sessions(2)
    page = f"/admin/sessions_app/workstation/{session.workstation_id}/delete/"
    assert "(sessions: 1)" in text_of(boss.get(page))
    assert EditSession.objects.count() == 2
    assert boss.post(page, {"post": "yes"}).status_code == 302
    assert set(EditSession.objects.all()) == {other}
    assert not Workstation.objects.filter(pk=session.workstation_id).exists()
    record = EndedSession.objects.get()
    assert record.session_id == session.pk
    assert (record.reason, record.ended_by) == (EndReason.WORKSTATION_DELETED, "boss")
    assert LogEntry.objects.filter(type="edit.session_released").count() == 1


def test_deleting_selected_workstations_is_set_based(boss):
    def queries(sessions: list[EditSession]) -> int:
        body = {
            "action": "delete_selected",
            "post": "yes",
            "_selected_action": [session.workstation_id for session in sessions],
        }
        with CaptureQueriesContext(connection) as captured:
            boss.post("/admin/sessions_app/workstation/", body)
        return len(captured)

    assert queries(make_sessions(2, "few")) == queries(make_sessions(6, "many"))
    assert not Workstation.objects.exists()
    assert EndedSession.objects.filter(reason=EndReason.WORKSTATION_DELETED).count() == 8


def test_workstations_show_presence_and_sessions(boss):
    session, _ = make_sessions(2)
    acquire(session.workstation, make_item("second"))
    connect(session.workstation)
    address = "/admin/sessions_app/workstation/"
    rows = {row.pk: row for row in boss.get(address).context["cl"].result_list}
    assert rows[session.workstation_id].connected
    assert rows[session.workstation_id].sessions_held == 2
    assert listed(boss.get(address + "?connected=yes")) == {session.workstation_id}
    assert listed(boss.get(address + "?q=P-user-0")) == {session.workstation_id}
    connect(Workstation(pk="00000000-0000-0000-0000-000000000001"))
    assert "(deleted)" in text_of(boss.get("/admin/events_app/connection/"))
