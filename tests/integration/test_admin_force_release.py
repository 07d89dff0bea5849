"""Force-release in the admin site goes the domain's way."""

import json

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from events_app.models import LogEntry
from sessions_app.admin import edit_sessions
from sessions_app.models import EditSession, EndedSession, EndReason
from sessions_app.roles import Role
from tests.factories import let_go, make_user
from tests.integration.admin_site import (
    FORCE_RELEASE,
    SESSIONS,
    make_sessions,
    messages_of,
    text_of,
)

pytestmark = pytest.mark.django_db


def test_force_release_asks_why_then_ends_records_and_tells(boss):
    released, kept, _ = make_sessions(3)
    asked = boss.post(
        SESSIONS + "?connected=no",
        {"action": "force_release", "_selected_action": [released.pk, kept.pk]},
    )
    assert asked.status_code == 200
    page = text_of(asked)
    assert "P-0" in page
    assert "P-1" in page
    assert "P-2" not in page
    assert EditSession.objects.count() == 3
    form = asked.context["form"]
    # Its second session ends while the admin types.
    let_go(kept.pk)

    answer = boss.post(
        FORCE_RELEASE,
        {
            "sessions": form["sessions"].as_hidden().split('value="')[1].split('"')[0],
            "filters": form["filters"].value(),
            "reason": "  gone home 🏠  ",
        },
        follow=True,
    )

    assert answer.redirect_chain == [(SESSIONS + "?connected=no", 302)]
    assert messages_of(answer) == ["1 session was released. 1 session had already ended."]
    record = EndedSession.objects.get(session_id=released.pk)
    assert (record.reason, record.ended_by, record.note) == (
        EndReason.FORCE_RELEASED,
        "boss",
        "gone home 🏠",
    )
    assert EndedSession.objects.get(session_id=kept.pk).reason == EndReason.RELEASED
    told = LogEntry.objects.get(type="edit.force_released")
    assert told.channels == [f"workstation:{released.workstation_id}"]
    data = json.loads(told.data)
    assert (data["session_id"], data["by"], data["reason"]) == (
        str(released.pk),
        "boss",
        "gone home 🏠",
    )
    assert LogEntry.objects.filter(type="edit.session_released").count() == 2


@pytest.mark.parametrize("reason", ["", "   ", "a\nb", "a\x00b", "a\x1bb", "x" * 2001])
def test_force_release_needs_a_reason_that_the_api_accepts(boss, reason):
    (session,) = make_sessions(1)
    answer = boss.post(FORCE_RELEASE, {"sessions": session.pk, "reason": reason})
    assert answer.status_code == 200
    assert answer.context["form"].errors["reason"]
    assert str(session.pk) in text_of(answer)
    assert EditSession.objects.exists()
    assert not EndedSession.objects.exists()


def test_longest_reason_is_kept(boss):
    (session,) = make_sessions(1)
    boss.post(FORCE_RELEASE, {"sessions": session.pk, "reason": "ä" * 2000})
    assert EndedSession.objects.get().note == "ä" * 2000


def test_force_release_is_for_admins(onlooker):
    (session,) = make_sessions(1)
    body = {"sessions": session.pk, "reason": "because"}
    assert onlooker.post(FORCE_RELEASE, body).status_code == 403
    assert onlooker.get(f"{FORCE_RELEASE}?sessions={session.pk}").status_code == 403
    onlooker.post(SESSIONS, {"action": "force_release", "_selected_action": session.pk})
    assert "Force-release" not in text_of(onlooker.get(f"{SESSIONS}{session.pk}/change/"))
    assert EditSession.objects.exists()


def test_force_release_needs_the_csrf_token():
    (session,) = make_sessions(1)
    client = Client(enforce_csrf_checks=True)
    client.force_login(make_user("boss", Role.ADMIN, is_staff=True))
    body = {"sessions": session.pk, "reason": "because"}
    assert client.post(FORCE_RELEASE, body).status_code == 403
    assert EditSession.objects.exists()


def test_force_release_from_the_page_of_one_session(boss):
    (session,) = make_sessions(1)
    address = f"{FORCE_RELEASE}?sessions={session.pk}"
    assert address in text_of(boss.get(f"{SESSIONS}{session.pk}/change/"))
    page = boss.get(address)
    assert page.status_code == 200
    assert str(session.pk) in text_of(page)
    assert EditSession.objects.exists()


@pytest.mark.parametrize("ids", ["", "garbage", "00000000-0000-0000-0000-000000000000", "a\x00"])
def test_force_release_of_no_session(boss, ids):
    for answer in (
        boss.get(FORCE_RELEASE, {"sessions": ids}, follow=True),
        boss.post(FORCE_RELEASE, {"sessions": ids, "reason": ""}, follow=True),
    ):
        assert answer.redirect_chain == [(SESSIONS, 302)]
        assert messages_of(answer) == ["There is no such session, or it has ended."]


def test_actions_refuse_what_is_no_id(boss):
    make_sessions(1)
    body = {"action": "force_release", "_selected_action": "garbage"}
    assert boss.post(SESSIONS, body).status_code == 400


def test_force_release_takes_a_fixed_number_of_queries(boss):
    def queries(sessions: list[EditSession]) -> int:
        ids = ",".join(str(session.pk) for session in sessions)
        with CaptureQueriesContext(connection) as captured:
            boss.post(FORCE_RELEASE, {"sessions": ids, "reason": "because"})
        return len(captured)

    assert queries(make_sessions(2, "few")) == queries(make_sessions(12, "many"))
    assert EndedSession.objects.count() == 14


def test_force_release_has_a_limit(boss, monkeypatch):
    monkeypatch.setattr(edit_sessions, "MAX_AT_ONCE", 1)
    monkeypatch.setattr(edit_sessions.ForceReleaseForm.base_fields["sessions"], "most", 1)
    sessions = make_sessions(2)
    selected = [session.pk for session in sessions]
    answer = boss.post(
        SESSIONS, {"action": "force_release", "_selected_action": selected}, follow=True
    )
    assert messages_of(answer) == ["Select at most 1 sessions at once."]
    ids = ",".join(map(str, selected))
    boss.post(FORCE_RELEASE, {"sessions": ids, "reason": "because"})
    assert EditSession.objects.count() == 2
