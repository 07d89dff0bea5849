"""Sessions and the record of the admin site as CSV: what the filters leave, for who may see it."""

import csv

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sessions_app.models import EditSession, EndedSession
from sessions_app.roles import Role
from tests.factories import acquire, let_go, make_user
from tests.integration.admin_site import SESSIONS, client_of, connect, make_sessions, text_of

pytestmark = pytest.mark.django_db

RECORD = "/admin/sessions_app/endedsession/"


def rows_of(answer):
    assert answer["Content-Type"].startswith("text/csv")
    assert "attachment" in answer["Content-Disposition"]
    return list(csv.DictReader(text_of(answer).removeprefix("\ufeff").splitlines()))


def test_sessions_are_exported_as_they_are_filtered(boss):
    first, second = make_sessions(2)
    connect(second.workstation)
    EditSession.objects.filter(pk=first.pk).update(note="=HYPERLINK(1)")
    whole = rows_of(boss.get(SESSIONS + "csv/"))
    assert [row["session_id"] for row in whole] == [str(second.pk), str(first.pk)]
    assert whole[1]["note"] == "'=HYPERLINK(1)"
    assert [row["connected"] for row in whole] == ["True", "False"]
    [row] = rows_of(boss.get(SESSIONS + "csv/?connected=yes&q=P-1"))
    assert (row["part_number"], row["username"], row["workstation_name"]) == (
        *("P-1", "P-user-1", "P-cad-1"),
    )
    assert (row["context_level"], row["idle_since"], row["waiting"]) == ("sketch", "", "0")
    assert 'href="csv/?connected=yes"' in text_of(boss.get(SESSIONS + "?connected=yes"))


def test_the_record_is_exported_as_it_is_filtered(boss):
    sessions = make_sessions(3)
    for session in sessions:
        let_go(session.pk)
    rows = rows_of(boss.get(RECORD + "csv/"))
    latest = EndedSession.objects.order_by("-pk").values_list("part_number", flat=True)
    assert [row["part_number"] for row in rows] == list(latest)
    [row] = rows_of(boss.get(RECORD + "csv/?user=P-user-1&reason__exact=released"))
    assert row["session_id"] == str(sessions[1].pk)


def test_an_export_is_for_who_may_see_the_list(onlooker):
    make_sessions(1)
    assert len(rows_of(onlooker.get(SESSIONS + "csv/"))) == 1
    assert client_of(make_user("temp", Role.VIEWER, is_staff=True)).get(
        SESSIONS + "csv/"
    ).status_code == (403)
    assert client_of(make_user("none", Role.ADMIN)).get(SESSIONS + "csv/").status_code == 302


@pytest.mark.parametrize("query", ["q=%00", "unknown=1", "context_level__exact__x=1"])
def test_an_export_refuses_what_is_no_filter(boss, query):
    assert boss.get(f"{SESSIONS}csv/?{query}").status_code == 400


def test_an_export_takes_as_many_queries_for_many_rows_as_for_few(boss):
    def queries():
        with CaptureQueriesContext(connection) as captured:
            boss.get(SESSIONS + "csv/")
        return len(captured)

    (session,) = make_sessions(1)
    few = queries()
    for number in range(20):
        acquire(session.workstation, session.item, f"object {number}")
    assert queries() == few
