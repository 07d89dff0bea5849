"""The admin site: who may look, who may act, and that what it does goes the domain's way."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.db import connection
from django.db.models import DurationField, Value
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from events_app.models import Connection, LogEntry, ServerProcess
from sessions_app.admin import edit_sessions, ended_sessions
from sessions_app.models import ApiToken, EditSession, EndedSession, EndReason, Item, Workstation
from sessions_app.roles import Role
from tests.factories import (
    acquire,
    api_of,
    make_item,
    make_token,
    make_user,
    make_workstation,
)

pytestmark = pytest.mark.django_db

PAGES = [
    "sessions_app_item",
    "sessions_app_workstation",
    "sessions_app_editsession",
    "sessions_app_endedsession",
    "sessions_app_apitoken",
    "events_app_serverprocess",
    "events_app_connection",
]
SESSIONS = "/admin/sessions_app/editsession/"
FORCE_RELEASE = SESSIONS + "force-release/"


def client_of(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def boss() -> Client:
    """A member of staff in the role admin, without any of Django's permissions."""
    return client_of(make_user("boss", Role.ADMIN, is_staff=True))


@pytest.fixture
def onlooker() -> Client:
    """A viewer who is staff, with every permission of Django's and therefore the view permissions."""
    user = make_user("onlooker", Role.VIEWER, is_staff=True)
    user.user_permissions.set(
        Permission.objects.filter(content_type__app_label__in=["sessions_app", "events_app"])
    )
    return client_of(user)


def make_sessions(count: int, prefix: str = "P") -> list[EditSession]:
    """Make sessions, each on an item, of a user and on a workstation of its own."""
    return [
        acquire(
            make_workstation(make_user(f"{prefix}-user-{number}"), f"{prefix}-cad-{number}"),
            make_item(f"{prefix}-{number}"),
        ).session
        for number in range(count)
    ]


def connect(workstation: Workstation) -> Connection:
    process = ServerProcess.objects.create(hostname="server", pid=1)
    return Connection.objects.create(key=workstation.pk, process=process)


def silence(session: EditSession, **time: float) -> None:
    past = Now() - Value(timedelta(**time), DurationField())
    EditSession.objects.filter(pk=session.pk).update(last_heartbeat=past)


def text_of(response: Any) -> str:
    return str(response.content.decode())


def listed(response: Any) -> set[Any]:
    return {row.pk for row in response.context["cl"].result_list}


def messages_of(response: Any) -> list[str]:
    return [str(message) for message in response.context["messages"]]


def one_of_each() -> None:
    (session,) = make_sessions(1, "each")
    connect(session.workstation)
    acquire(session.workstation, make_item("each-ended"))
    EditSession.objects.release(EditSession.objects.get(item__part_number="each-ended").pk)
    make_token(session.user)


@pytest.mark.parametrize("page", PAGES)
def test_admin_needs_no_permissions_of_django(boss, page):
    one_of_each()
    response = boss.get(reverse(f"admin:{page}_changelist"))
    assert response.status_code == 200
    row = response.context["cl"].result_list[0]
    detail = boss.get(reverse(f"admin:{page}_change", args=[row.pk]))
    assert detail.status_code == 200
    assert "Silo Sessions" in text_of(detail)


@pytest.mark.parametrize("page", PAGES)
def test_onlooker_may_look_but_not_act(onlooker, page):
    one_of_each()
    response = onlooker.get(reverse(f"admin:{page}_changelist"))
    assert response.status_code == 200
    assert not response.context["has_add_permission"]
    assert [
        name
        for name, _ in response.context["cl"].model_admin.get_action_choices(response.wsgi_request)
    ] == [""]
    row = response.context["cl"].result_list[0]
    detail = reverse(f"admin:{page}_change", args=[row.pk])
    shown = onlooker.get(detail)
    assert shown.status_code == 200
    assert not shown.context["has_change_permission"]
    assert onlooker.post(detail, {}).status_code == 403
    assert onlooker.post(reverse(f"admin:{page}_add"), {}).status_code == 403
    assert (
        onlooker.post(reverse(f"admin:{page}_delete", args=[row.pk]), {"post": "yes"}).status_code
        == 403
    )


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("role", [None, Role.VIEWER, Role.EDITOR])
def test_staff_without_view_permission_sees_nothing(page, role):
    client = client_of(make_user("temp", role, is_staff=True))
    assert client.get(reverse(f"admin:{page}_changelist")).status_code == 403


@pytest.mark.parametrize("page", PAGES)
def test_role_admin_without_staff_is_sent_to_the_login(page):
    client = client_of(make_user("temp", Role.ADMIN))
    response = client.get(reverse(f"admin:{page}_changelist"))
    assert response.status_code == 302
    assert "/admin/login/" in response["Location"]


def test_superuser_without_group_is_admin():
    (session,) = make_sessions(1)
    client = client_of(make_user("root", None, is_staff=True, is_superuser=True))
    client.post(FORCE_RELEASE, {"sessions": session.pk, "reason": "fire"})
    assert not EditSession.objects.exists()


def test_index_names_the_site_and_only_pages_of_use(boss):
    index = text_of(boss.get("/admin/"))
    assert "Silo Sessions" in index
    for page in PAGES:
        assert reverse(f"admin:{page}_changelist") in index
    foreign = apps.get_app_config("django_eventstream").get_models()
    assert not [model for model in foreign if admin.site.is_registered(model)]


@pytest.mark.parametrize("page", PAGES)
def test_lists_take_as_many_queries_for_many_rows_as_for_few(boss, page):
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert boss.get(address).status_code == 200
        return len(captured)

    address = reverse(f"admin:{page}_changelist")
    one_of_each()
    few = queries()
    for session in make_sessions(8, "more"):
        connect(session.workstation)
        make_token(session.user)
        acquire(session.workstation, make_item(f"ended {session.item.part_number}"))
    EditSession.objects.end(
        EditSession.objects.filter(item__part_number__startswith="ended"), EndReason.RELEASED
    )
    assert queries() == few
    assert few <= 8


def test_list_of_sessions_shows_holder_age_and_silence(boss):
    session, other = make_sessions(2)
    connect(session.workstation)
    silence(session, minutes=7)
    past = Now() - Value(timedelta(hours=3, minutes=4), DurationField())
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
    EditSession.objects.release(kept.pk)

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


@pytest.mark.parametrize("page", PAGES)
def test_lists_refuse_what_the_database_would_choke_on(boss, page):
    address = reverse(f"admin:{page}_changelist")
    for query in ("q=%00", "context_level__exact=%00", "state=%00", "item_type=%00", "%00=1"):
        assert boss.get(f"{address}?{query}").status_code == 400, query
    for query in ("q=%ff", "p=x", "p=99999", "o=99.-3", "id__exact=x", "unknown=1"):
        assert boss.get(f"{address}?{query}", follow=True).status_code == 200, query


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
    sessions = make_sessions(2)
    selected = [session.pk for session in sessions]
    answer = boss.post(
        SESSIONS, {"action": "force_release", "_selected_action": selected}, follow=True
    )
    assert messages_of(answer) == ["Select at most 1 sessions at once."]
    ids = ",".join(map(str, selected))
    boss.post(FORCE_RELEASE, {"sessions": ids, "reason": "because"})
    assert EditSession.objects.count() == 2


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
    assert record.reason == EndReason.WORKSTATION_DELETED
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


def test_record_is_read_only(boss):
    (session,) = make_sessions(1)
    EditSession.objects.release(session.pk)
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
    EditSession.objects.force_release(sessions[0].pk, by="boss", note="because")
    for session in sessions[1:]:
        EditSession.objects.release(session.pk)
    page = "/admin/sessions_app/endedsession/"
    forced = EndedSession.objects.get(session_id=sessions[0].pk).pk
    assert listed(boss.get(page + "?reason__exact=force_released")) == {forced}
    assert listed(boss.get(page + "?q=P-0")) == {forced}
    assert listed(boss.get(page + "?released_at__lt=2000-01-01 00:00:00%2B00:00")) == set()
    assert "because" in text_of(boss.get(f"{page}{forced}/change/"))
    monkeypatch.setattr(ended_sessions, "MAX_COUNTED", 3)
    assert boss.get(page).context["cl"].result_count == 3


def test_tokens_show_their_prefix_only(boss):
    user = make_user()
    token = make_token(user)
    row = ApiToken.objects.get()
    page = "/admin/sessions_app/apitoken/"
    for address in (page, f"{page}{row.pk}/change/"):
        text = text_of(boss.get(address))
        assert row.shown in text
        assert row.digest not in text
        assert token not in text
    assert "createtoken" in text_of(boss.get(page))
    assert boss.get(page + "add/").status_code == 403
    assert boss.post(f"{page}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    assert boss.post(f"{page}{row.pk}/change/", {"role": "admin"}).status_code == 403


def test_revoked_token_is_refused(boss):
    user = make_user()
    api = api_of(user)
    assert api("GET", "/api/workstations").status_code == 200
    row = ApiToken.objects.get()
    page = "/admin/sessions_app/apitoken/"
    body = {"action": "revoke", "_selected_action": row.pk}
    assert messages_of(boss.post(page, body, follow=True)) == ["1 token was revoked."]
    assert api("GET", "/api/workstations").status_code == 401
    row.refresh_from_db()
    revoked_at = row.revoked_at
    assert messages_of(boss.post(page, body, follow=True)) == ["0 tokens were revoked."]
    row.refresh_from_db()
    assert row.revoked_at == revoked_at
    assert listed(boss.get(page + "?state=revoked")) == {row.pk}
    assert listed(boss.get(page + "?state=valid")) == set()


def test_onlooker_revokes_nothing(onlooker):
    api = api_of(make_user())
    body = {"action": "revoke", "_selected_action": ApiToken.objects.get().pk}
    onlooker.post("/admin/sessions_app/apitoken/", body)
    assert api("GET", "/api/workstations").status_code == 200


def test_token_states_and_roles_are_filtered(boss):
    user, gone = make_user(), make_user("gone", is_active=False)
    expired, _ = ApiToken.objects.issue(user, "old", "editor", timedelta(days=-1))
    orphan, _ = ApiToken.objects.issue(gone, "orphan", "viewer", None)
    valid, _ = ApiToken.objects.issue(user, "good", "viewer", timedelta(days=1))
    page = "/admin/sessions_app/apitoken/"
    for query, found in {
        "state=expired": {expired.pk},
        "state=user deactivated": {orphan.pk},
        "state=valid": {valid.pk},
        "role=viewer": {orphan.pk, valid.pk},
        "role=admin": set(),
        "q=good": {valid.pk},
    }.items():
        assert listed(boss.get(f"{page}?{query}")) == found, query


def test_item_is_added_and_described_but_keeps_its_number(boss):
    page = "/admin/sessions_app/item/"
    assert "DatabaseDefault" not in text_of(boss.get(page + "add/"))
    body = {"part_number": "DIN 912/M5 🔩", "description": "", "item_type": "screw"}
    assert boss.post(page + "add/", body).status_code == 302
    item = Item.objects.get()
    assert item.part_number == "DIN 912/M5 🔩"
    body = {"part_number": "other", "description": "a screw", "item_type": "screw"}
    assert boss.post(f"{page}{item.pk}/change/", body).status_code == 302
    item.refresh_from_db()
    assert (item.part_number, item.description) == ("DIN 912/M5 🔩", "a screw")
    assert boss.post(f"{page}{item.pk}/delete/", {"post": "yes"}).status_code == 403
    make_item("other type")
    assert listed(boss.get(page + "?item_type=screw")) == {item.pk}
    assert listed(boss.get(page + "?q=912")) == {item.pk}


@pytest.mark.parametrize(
    "body",
    [
        {"part_number": "."},
        {"part_number": "a\tb"},
        {"part_number": ""},
        {"part_number": "x" * 201},
        {"part_number": "good", "description": "a\x1bb"},
        {"part_number": "good", "item_type": "a\nb"},
    ],
)
def test_item_obeys_the_rules_of_the_api(boss, body):
    answer = boss.post("/admin/sessions_app/item/add/", body)
    assert answer.status_code == 200
    assert answer.context["errors"]
    assert not Item.objects.exists()
