"""What whoever inspects sessions sees at once: people, times and lines, and that each leads to the others."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from events_app.models import Connection, ServerProcess
from sessions_app.admin import numbers, sections
from sessions_app.models import (
    EditSession,
    EndedSession,
    Item,
    PlaceInLine,
    SweeperProcess,
    Workstation,
)
from sessions_app.roles import Role
from tests.factories import let_go, make_user, make_workstation, wait_for
from tests.integration.admin_site import (
    SESSIONS,
    client_of,
    connect,
    listed,
    make_sessions,
    one_of_each,
    text_of,
)

pytestmark = pytest.mark.django_db

PLACES = "/admin/sessions_app/placeinline/"
RECORD = "/admin/sessions_app/endedsession/"
A_TIME = r'<time datetime="[-\d]+T[:\d]+\+00:00">[-\d]{10} [:\d]{8} UTC</time>'


def waiting_for(session: EditSession, name: str = "waiter") -> PlaceInLine:
    waiter = make_workstation(make_user(name), f"{name}'s")
    connect(waiter)
    wait_for(waiter, session)
    return PlaceInLine.objects.get(workstation=waiter)


def test_a_session_leads_to_all_that_it_is_about(boss):
    (session,) = make_sessions(1)
    waiting_for(session)
    page = text_of(boss.get(SESSIONS))
    for address in (
        f"/admin/sessions_app/item/{session.item_id}/change/",
        f"/admin/sessions_app/workstation/{session.workstation_id}/change/",
        f"{SESSIONS}{session.pk}/change/",
        f"{SESSIONS}?user=P-user-0",
        f"{PLACES}?item=P-0",
    ):
        assert f'href="{address}' in page, address


def test_nothing_leads_where_the_reader_may_not_look():
    (session,) = make_sessions(1)
    user = make_user("guest", Role.VIEWER, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_editsession"))
    guest = client_of(user)
    for page in (SESSIONS, f"{SESSIONS}{session.pk}/change/", f"{SESSIONS}?item=P-0"):
        shown = text_of(guest.get(page))
        assert "P-cad-0" in shown
        for other in ("item", "workstation", "placeinline", "endedsession"):
            assert f"/admin/sessions_app/{other}/" not in shown, (page, other)


def test_first_columns_are_those_by_which_sessions_are_judged(boss):
    make_sessions(1)
    response = boss.get(SESSIONS)
    assert response.context["cl"].list_display[1:6] == [
        "item_link",
        "owner",
        "silent_for",
        "held_for",
        "idle_since",
    ]
    assert boss.get(RECORD).context["cl"].list_display[2] == "how"


@pytest.mark.parametrize("page", [SESSIONS, PLACES, RECORD])
def test_levels_have_one_spelling_and_times_are_said_for_the_reader(boss, page):
    one_of_each()
    Workstation.objects.update(idle_since=Now())
    shown = text_of(boss.get(page))
    assert ">sketch<" in shown
    assert "Sketch<" not in shown
    assert re.search("As of " + A_TIME, shown)
    assert len(re.findall(A_TIME, shown)) > 1
    assert "sessions_app/admin.js" in shown


def test_sessions_are_filtered_by_idleness_age_user_item_and_line(boss):
    idle, old, waited = make_sessions(3)
    Workstation.objects.filter(pk=idle.workstation_id).update(idle_since=Now() - timedelta(hours=1))
    EditSession.objects.filter(pk=old.pk).update(acquired_at=Now() - timedelta(days=2))
    waiting_for(waited)
    for query, found in {
        "idle=30m": {idle.pk},
        "idle=2h": set(),
        "idle=no": {old.pk, waited.pk},
        "held=1d": {old.pk},
        "held=7d": set(),
        "waited_for=yes": {waited.pk},
        "user=P-USER-1": {old.pk},
        "user=nobody": set(),
        "item=p-2": {waited.pk},
        "item=nothing": set(),
        f"workstation={old.workstation_id}": {old.pk},
        "workstation=garbage": set(),
    }.items():
        assert listed(boss.get(f"{SESSIONS}?{query}")) == found, query
    assert text_of(boss.get(f"{SESSIONS}?workstation={old.workstation_id}")).count("P-cad-1") > 1


def test_a_filter_by_text_keeps_the_other_filters(boss):
    make_sessions(1)
    shown = text_of(boss.get(SESSIONS + "?connected=no&user=P-user-0"))
    assert '<input type="hidden" name="connected" value="no">' in shown
    assert 'name="user" value="P-user-0"' in shown
    assert f'href="{RECORD}?user=P-user-0"' in shown


def test_places_show_position_and_holder(boss):
    (session,) = make_sessions(1)
    first, second = (waiting_for(session, name) for name in ("first", "second"))
    rows = {row.pk: row for row in boss.get(PLACES).context["cl"].result_list}
    assert [rows[place.pk].position for place in (first, second)] == [1, 2]
    assert rows[second.pk].held == session
    assert "P-user-0 on P-cad-0" in text_of(boss.get(PLACES))
    filtered = boss.get(PLACES + "?user=second").context["cl"].result_list
    assert [(row.pk, row.position) for row in filtered] == [(second.pk, 2)]


def test_an_items_page_shows_who_has_it_its_line_and_its_record(boss, monkeypatch):
    ended, *others = make_sessions(3)
    for number, session in enumerate(others):
        EditSession.objects.filter(pk=session.pk).update(
            item=ended.item, object_id=f"part {number}"
        )
    let_go(ended.pk)
    first = EditSession.objects.get(pk=others[0].pk)
    waiting_for(first)
    address = f"/admin/sessions_app/item/{ended.item_id}/change/"
    page = text_of(boss.get(address))
    for text in ("P-user-1", "P-user-2", "part 0", "waiter", "Released", f"{RECORD}?item=P-0"):
        assert text in page
    assert "Show all" not in page
    monkeypatch.setattr(sections, "MAX_SHOWN", 1)
    page = text_of(boss.get(address))
    assert page.count("Show all") == 1
    assert f'href="{SESSIONS}?item=P-0">Show all' in page


def test_pages_of_one_thing_take_as_many_queries_for_much_as_for_little(boss):
    (session,) = make_sessions(1)
    waiting_for(session)
    addresses = [
        f"/admin/sessions_app/item/{session.item_id}/change/",
        f"/admin/sessions_app/workstation/{session.workstation_id}/change/",
        f"{SESSIONS}{session.pk}/change/",
    ]

    def queries(address: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            assert boss.get(address).status_code == 200
        return len(captured)

    [queries(address) for address in addresses]  # Django reads and keeps the types of content.
    few = [queries(address) for address in addresses]
    for number, more in enumerate(make_sessions(10, "more")):
        waiting_for(session, f"w{number}")
        EditSession.objects.filter(pk=more.pk).update(
            item=session.item, object_id=str(number), workstation=session.workstation
        )
        connect(session.workstation)
    assert [queries(address) for address in addresses] == few


def test_the_record_leads_to_what_is_there_yet(boss):
    (session,) = make_sessions(1)
    let_go(session.pk)
    item = f"/admin/sessions_app/item/{session.item_id}/change/"
    assert item in text_of(boss.get(RECORD))
    assert f"/admin/sessions_app/workstation/{session.workstation_id}/" in text_of(boss.get(RECORD))
    Workstation.objects.all().delete()
    Item.objects.all().delete()
    shown = text_of(boss.get(RECORD))
    assert item not in shown
    assert "/admin/sessions_app/workstation/" not in shown
    record = EndedSession.objects.get()
    for query in ("user=p-user-0", "item=P-0", f"workstation={session.workstation_id}"):
        assert listed(boss.get(f"{RECORD}?{query}")) == {record.pk}, query
    assert listed(boss.get(RECORD + "?item=P-1")) == set()


def test_connections_and_servers_lead_to_each_other(boss):
    first, second = make_sessions(2)
    stream = connect(first.workstation)
    Connection.objects.filter(pk=stream.pk).update(ack=True, acked_at=Now(), address="192.0.2.7")
    ServerProcess.objects.filter(pk=stream.process_id).update(port=8123, version="9.8.7")
    connect(second.workstation)
    streams, servers = "/admin/events_app/connection/", "/admin/events_app/serverprocess/"
    assert listed(boss.get(f"{streams}?server={stream.process_id}")) == {stream.pk}
    assert listed(boss.get(f"{streams}?workstation={first.workstation_id}")) == {stream.pk}
    page = text_of(boss.get(streams))
    assert f"{servers}{stream.process_id}/change/" in page
    assert f"/admin/sessions_app/workstation/{first.workstation_id}/change/" in page
    assert "(does not)" in page
    assert "192.0.2.7" in page
    assert listed(boss.get(f"{streams}?q=192.0.2.7")) == {stream.pk}
    for text in ("8123", "9.8.7"):
        assert text in text_of(boss.get(servers))
    assert " ago" in page
    assert f'href="{streams}?server={stream.process_id}"' in text_of(boss.get(servers))
    assert ">ready<" in text_of(boss.get(servers))
    ServerProcess.objects.update(unready="the relay has no connection")
    assert "not ready: the relay has no connection" in text_of(boss.get(servers))
    ServerProcess.objects.update(last_beat=Now() - timedelta(hours=1))
    assert ">silent<" in text_of(boss.get(servers))
    assert str(stream.pk) in text_of(boss.get(f"{servers}{stream.process_id}/change/"))


def test_sweepers_are_shown_with_their_last_sweep(boss):
    address = "/admin/sessions_app/sweeperprocess/"
    sweeper = SweeperProcess.objects.create(
        hostname="one", pid=7, version="9.8.7", every_seconds=30.0, sweep_ended=Now(), released=4711
    )
    page = text_of(boss.get(address))
    for text in ("one:7", "9.8.7", "4711", ">sweeping<", "30 s"):
        assert text in page
    SweeperProcess.objects.update(last_sign=Now() - timedelta(minutes=10))
    assert "silent: it may be dead" in text_of(boss.get(address))
    SweeperProcess.objects.update(every_seconds=None)
    assert "swept once" in text_of(boss.get(f"{address}{sweeper.pk}/change/"))


def test_the_index_counts_no_further_than_a_list(boss, monkeypatch):
    make_sessions(3)
    index = text_of(boss.get("/admin/"))
    assert re.search(rf'<dt><a href="{SESSIONS}">Edit sessions</a></dt><dd>3</dd>', index)
    assert '<a href="/admin/sessions_app/workstation/?connected=yes">' in index
    monkeypatch.setattr(numbers, "MAX_COUNTED", 2)
    assert "<dd>more than 2</dd>" in text_of(boss.get("/admin/"))


def test_the_index_counts_what_the_reader_may_see():
    user = make_user("guest", Role.VIEWER, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_editsession"))
    index = text_of(client_of(user).get("/admin/"))
    assert index.count("<dt>") == 1


def test_lists_of_a_hundred_rows_take_as_many_queries_as_those_of_one(boss):
    (session,) = make_sessions(1)
    waiting_for(session)
    items = Item.objects.bulk_create(Item(part_number=f"H-{n}") for n in range(101))
    lock = {"user": session.user, "workstation": session.workstation, "context_level": "sketch"}

    def queries(page: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            boss.get(page)
        return len(captured)

    let_go(EditSession.objects.create(item=items.pop(), **lock).pk)
    pages = [SESSIONS, PLACES, RECORD, f"{SESSIONS}csv/", f"{RECORD}csv/"]
    few = [queries(page) for page in pages]
    held = EditSession.objects.bulk_create(EditSession(item=item, **lock) for item in items)
    for other in items:
        PlaceInLine.objects.create(
            item=other, workstation=session.workstation, context_level="assembly"
        )
    EndedSession.objects.bulk_create(
        EndedSession(
            item_id=one.item_id,
            part_number=one.item.part_number,
            user_id=one.user_id,
            username="P-user-0",
            workstation_id=one.workstation_id,
            context_level="sketch",
            fencing_token=number,
            acquired_at=one.workstation.created_at,
            last_heartbeat=one.workstation.created_at,
            reason="released",
        )
        for number, one in enumerate(held)
    )
    assert len(boss.get(SESSIONS).context["cl"].result_list) == 100
    assert [queries(page) for page in pages] == few
