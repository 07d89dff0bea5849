"""Workstations in the admin site: their presence, and that deleting one releases what it holds."""

from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from events_app.models import LogEntry
from sessions_app.admin import deleting, workstations
from sessions_app.models import EditSession, EndedSession, EndReason, Workstation
from tests.factories import acquire, make_item, make_user, make_workstation
from tests.integration.admin_site import (
    connect,
    filled,
    listed,
    make_sessions,
    messages_of,
    text_of,
)

PAGE = "/admin/sessions_app/workstation/"
DELETE_MANY = PAGE + "delete-many/"

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
        selected = [session.workstation_id for session in sessions]
        with CaptureQueriesContext(connection) as captured:
            asked = boss.post(PAGE, {"action": "delete_many", "_selected_action": selected})
            assert (
                f"Selected: {len(sessions)}. Sessions that will be released: {len(sessions)}."
                in text_of(asked)
            )
            assert Workstation.objects.count() == len(sessions)
            boss.post(DELETE_MANY, filled(asked))
        return len(captured)

    assert queries(make_sessions(2, "few")) == queries(make_sessions(6, "many"))
    assert not Workstation.objects.exists()
    assert EndedSession.objects.filter(reason=EndReason.WORKSTATION_DELETED).count() == 8


def test_thousands_are_deleted_at_once(boss):
    user = make_user("collector")
    names = [Workstation(user=user, name=f"cad-{n}", fingerprint=f"{n}") for n in range(1001)]
    Workstation.objects.bulk_create(names)
    asked = boss.post(
        PAGE, {"action": "delete_many", "select_across": 1, "_selected_action": names[0].pk}
    )
    assert text_of(asked).count("<li>cad-") == deleting.MAX_LISTED
    assert "and 901 more" in text_of(asked)
    answer = boss.post(DELETE_MANY, filled(asked), follow=True)
    assert messages_of(answer) == ["Workstations that were deleted: 1001 of 1001."]
    assert not Workstation.objects.exists()


def test_who_comes_back_meanwhile_is_kept(boss):
    gone, back = (make_workstation(make_user(name)) for name in ("gone", "back"))
    Workstation.objects.update(last_seen=Now() - timedelta(days=100))
    recent = make_workstation(make_user("recent"))
    assert listed(boss.get(PAGE + "?unseen=90d")) == {gone.pk, back.pk}
    assert listed(boss.get(PAGE + "?unseen=365d")) == set()
    selected = {"action": "delete_many", "_selected_action": [gone.pk, back.pk]}
    asked = boss.post(PAGE + "?unseen=90d", selected)
    Workstation.objects.filter(pk=back.pk).update(last_seen=Now())
    answer = boss.post(DELETE_MANY, filled(asked), follow=True)
    assert answer.redirect_chain == [(PAGE + "?unseen=90d", 302)]
    assert messages_of(answer) == ["Workstations that were deleted: 1 of 2."]
    assert set(Workstation.objects.all()) == {back, recent}


def test_who_comes_back_while_others_are_deleted_is_kept(boss, monkeypatch):
    """Whether a workstation was seen is asked when it is locked, after the steps of others."""
    gone, back = sorted(make_workstation(make_user(name)).pk for name in ("gone", "back"))
    Workstation.objects.update(last_seen=Now() - timedelta(days=100))

    def one_by_one(ids, _):
        for one in ids:
            yield [one]
            Workstation.objects.filter(pk=back).update(last_seen=Now())

    selected = {"action": "delete_many", "_selected_action": [gone, back]}
    asked = boss.post(PAGE + "?unseen=90d", selected)
    monkeypatch.setattr("sessions_app.operations.workstations.batched", one_by_one)
    answer = boss.post(DELETE_MANY, filled(asked), follow=True)
    assert messages_of(answer) == ["Workstations that were deleted: 1 of 2."]
    assert Workstation.objects.get().pk == back


def test_deletion_of_many_is_for_admins_and_has_a_limit(onlooker, boss, monkeypatch):
    first, second = (make_workstation(make_user(name)) for name in ("one", "two"))
    body = {"ids": f"{first.pk},{second.pk}"}
    assert onlooker.post(DELETE_MANY, body).status_code == 403
    monkeypatch.setattr(deleting, "MAX_AT_ONCE", 1)
    monkeypatch.setattr(workstations.WorkstationsForm.base_fields["ids"], "most", 1)
    selected = {"action": "delete_many", "_selected_action": [first.pk, second.pk]}
    answer = boss.post(PAGE, selected, follow=True)
    assert messages_of(answer) == ["Select at most 1 workstations at once."]
    for wrong in (body, {"ids": "x"}, {}):
        answer = boss.post(DELETE_MANY, wrong, follow=True)
        assert messages_of(answer) == ["Select the workstations again."]
    assert boss.get(DELETE_MANY, follow=True).redirect_chain == [(PAGE, 302)]
    assert Workstation.objects.count() == 2


def test_a_deletion_of_too_many_sessions_is_refused(boss, monkeypatch):
    monkeypatch.setattr(workstations, "MAX_SESSIONS", 1)
    selected = [session.workstation_id for session in make_sessions(2)]
    body = {"action": "delete_many", "_selected_action": selected}
    refused = ["They hold more than 1 sessions: select fewer at once."]
    assert messages_of(boss.post(PAGE, body, follow=True)) == refused
    body = {"ids": ",".join(map(str, selected))}
    assert messages_of(boss.post(DELETE_MANY, body, follow=True)) == refused
    assert Workstation.objects.count() == len(selected)


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
