"""Renaming and retiring items: what stays, what is refused, who is told."""

from io import StringIO
from unittest import mock

import pytest
from django.core.management import call_command

from sessions_app import operations
from sessions_app.errors import AlreadyExists, NotFound, Retired
from sessions_app.models import EditSession, FormerPartNumber, Item, PlaceInLine, Workstation
from sessions_app.models.results import Wanted
from sessions_app.operations import items
from sessions_app.roles import Role
from tests.factories import (
    acquire,
    api_of,
    events,
    grant_what_is_free,
    item_url,
    let_go,
    make_connected,
    make_item,
    make_user,
    stand,
)
from tests.integration import interleaving
from tests.integration.admin_site import listed

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin():
    return api_of(make_user("root", Role.ADMIN))


@pytest.fixture
def world():
    """`Old 1`: ada edits it, bob stands in line, and ada has edited it before."""
    item, ada, bob = make_item("Old 1"), make_connected("ada"), make_connected("bob")
    let_go(acquire(ada, item, "before").session.pk)
    return item, ada, bob, acquire(ada, item).session, stand(bob, item).place


def names(answer, member):
    return [one["part_number"] for one in answer.json()[member]]


# -- renaming --


def test_a_rename_keeps_sessions_line_and_history_and_is_told(world, admin):
    item, ada, bob, session, _ = world
    answer = admin("POST", item_url("OLD 1", "rename"), {"part_number": "New/1"})
    assert (answer.status_code, answer.json()["part_number"]) == (200, "New/1")
    name, audience, data = events()[-1]
    assert (name, data) == (
        "item.renamed",
        {"item_id": str(item.pk), "part_number": "New/1", "old_part_number": "Old 1"},
    )
    told = {"all", f"item:{item.pk}", f"workstation:{ada.pk}", f"workstation:{bob.pk}"}
    assert audience == told
    for number in ("new/1", "old 1"):
        assert names(admin("GET", item_url(number, "edit-sessions")), "sessions") == ["New/1"]
        assert names(admin("GET", item_url(number, "edit-session-requests")), "requests") == [
            "New/1"
        ]
        query = {"item": number, "all": "true"}
        assert names(admin("GET", "/api/edit-sessions", query_params=query), "sessions") == [
            "New/1"
        ]
        history = admin("GET", "/api/edit-sessions/history", query_params={"item": number})
        assert names(history, "history") == ["Old 1"]
        assert names(admin("GET", "/api/items", query_params={"search": number}), "items") == [
            "New/1"
        ]
    token = {"fencing_token": session.fencing_token}
    assert (
        admin("POST", item_url("Old 1", "edit-sessions", session.pk, "verify"), token).json()[
            "item"
        ]
        == "New/1"
    )
    assert (
        api_of(ada.user)("DELETE", item_url("Old 1", "edit-sessions", session.pk)).status_code
        == 204
    )
    # It was bob's turn.
    assert EditSession.objects.get().workstation == bob


def test_nothing_new_is_begun_by_a_former_number(world, admin):
    _, ada, *_ = world
    admin("POST", item_url("Old 1", "rename"), {"part_number": "New 1"})
    body = {"workstation_id": ada.pk, "context_level": "sketch", "object_id": "X"}
    api = api_of(ada.user)
    batch = {
        "workstation_id": ada.pk,
        "sessions": [{"part_number": "old 1", "context_level": "sketch"}],
    }
    for answer in (
        api("POST", item_url("old 1", "edit-sessions"), body),
        api("POST", "/api/edit-sessions/batch", batch),
        admin("POST", item_url("old 1", "rename"), {"part_number": "X"}),
    ):
        assert answer.status_code == 404
        assert answer.json() == {
            "error": "not_found",
            "message": "old 1 was renamed to New 1.",
            "renamed_to": "New 1",
        }
    for answer in (
        api("POST", "/api/items", {"part_number": "OLD 1"}),
        admin("POST", item_url(make_item("other").part_number, "rename"), {"part_number": "OLD 1"}),
    ):
        assert (answer.status_code, answer.json()["error"]) == (409, "already_exists")
        assert answer.json()["message"] == "OLD 1 is a former number of New 1."


def test_an_item_can_have_its_number_back_and_another_spelling(world):
    item = world[0]
    items.rename("Old 1", "New 1")
    items.rename("New 1", "OLD  1")
    item.refresh_from_db()
    assert (item.part_number, item.key) == ("OLD  1", "old 1")
    assert [former.part_number for former in FormerPartNumber.objects.all()] == ["New 1"]
    count = len(events())
    items.rename("old 1", "OLD  1")
    assert len(events()) == count
    items.rename("old 1", "Old 1")
    assert FormerPartNumber.objects.count() == 1
    assert events()[-1][2]["old_part_number"] == "OLD  1"


def test_no_rename_to_what_is_another_items(world):
    make_item("Taken")
    with pytest.raises(AlreadyExists, match=r"There is the item Taken\."):
        items.rename("Old 1", "TAKEN")
    with pytest.raises(NotFound, match=r"There is no item Nope\."):
        items.rename("Nope", "X")
    assert Item.objects.get(pk=world[0].pk).part_number == "Old 1"


def test_a_number_that_a_rename_frees_meanwhile_is_seen_after_the_insert(world):
    items.rename("Old 1", "New 1")
    with pytest.raises(AlreadyExists, match="former number of New 1"):
        items.create("old 1")
    assert Item.objects.count() == 1


@pytest.mark.usefixtures("committed_db")
def test_a_number_freed_during_its_refusal_is_refused_with_a_reason():
    held, before = True, 0
    while held:
        old = make_item(f"Old {before}").part_number
        held, refused, renamed = interleaving.run(
            lambda number=old: items.create(number.lower()),
            lambda number=old: items.rename(number, f"new {number}"),
            before,
        )
        assert isinstance(refused, AlreadyExists), refused
        assert isinstance(renamed, Item), renamed
        before += 1
    assert before > 4


# -- retiring --


def test_a_retired_item_refuses_new_sessions_and_keeps_running_ones(world, admin):
    item, ada, bob, session, _ = world
    assert admin("POST", item_url("old 1", "retire")).json()["retired_at"]
    name, audience, data = events()[-1]
    assert (name, data["part_number"]) == ("item.retired", "Old 1")
    assert {f"workstation:{ada.pk}", f"workstation:{bob.pk}", f"item:{item.pk}"} < audience
    assert not PlaceInLine.objects.exists()
    for attempt in (
        lambda: acquire(bob, item, "X"),
        lambda: acquire(bob, item, level="assembly"),
        lambda: stand(bob, item),
        lambda: stand(bob, item, "X"),
        lambda: operations.handoff.hand_off(ada.user, session.pk, bob.pk),
    ):
        with pytest.raises(Retired, match=r"Old 1 is retired"):
            attempt()
    # What one has, one has.
    assert acquire(ada, item).existing
    let_go(session.pk)
    assert not EditSession.objects.exists()
    history = admin("GET", "/api/edit-sessions/history", query_params={"item": "Old 1"})
    assert len(history.json()["history"]) == 2
    refused = api_of(bob.user)("POST", "/api/items", {"part_number": "Old 1"})
    assert refused.json()["message"] == "There is the item Old 1, which is retired."


def test_a_retired_item_is_in_no_list_unless_asked_for(world, admin):
    make_item("Old 2")
    admin("POST", item_url("Old 1", "retire"))
    for query in ({}, {"search": "old"}, {"prefix": "old"}):
        assert names(admin("GET", "/api/items", query_params=query), "items") == ["Old 2"]
        both = admin("GET", "/api/items", query_params=query | {"retired": "true"})
        assert names(both, "items") == ["Old 1", "Old 2"]
    count = len(events())
    admin("POST", item_url("Old 1", "retire"))
    assert len(events()) == count, "a second time changes nothing"
    assert admin("POST", item_url("Old 1", "restore")).json()["retired_at"] is None
    assert events()[-1][0] == "item.restored"
    assert names(admin("GET", "/api/items"), "items") == ["Old 1", "Old 2"]
    assert acquire(world[2], world[0], "X")


def test_a_place_taken_while_the_item_is_retired_is_waited_for(world):
    carl = make_connected("carl")
    lock, came = Workstation.objects.lock, []

    def lock_late(ids):
        locked = lock(ids)
        came.append(ids)
        if len(came) == 1:
            stand(carl, world[0])
        return locked

    with mock.patch.object(type(Workstation.objects), "lock", side_effect=lock_late):
        # It is looked who waits, carl comes, and it begins again with the lock of carl's workstation.
        assert [item.pk for item in items.retire([world[0].pk])] == [world[0].pk]
    assert carl.pk in came[-1]
    assert not PlaceInLine.objects.exists()


def test_only_admins_change_items(world):
    for role in (Role.VIEWER, Role.EDITOR):
        api = api_of(make_user(role.group, role))
        assert api("POST", item_url("Old 1", "rename"), {"part_number": "X"}).status_code == 403
        assert api("POST", item_url("Old 1", "retire")).status_code == 403
        assert api("POST", item_url("Old 1", "restore")).status_code == 403


@pytest.mark.parametrize("number", ["A/rename", "A/retire", "A/edit-sessions", "A"])
def test_numbers_that_end_like_addresses_are_changed_too(admin, number):
    make_item(number)
    assert admin("POST", item_url(number, "rename"), {"part_number": "B/rename"}).status_code == 200
    assert admin("POST", item_url("b/RENAME", "retire")).json()["part_number"] == "B/rename"


# -- at the admin site --


def test_the_admin_site_uses_the_same_item_operations(world, boss):
    item = world[0]
    page = "/admin/sessions_app/item/"
    body = {"part_number": "New 1", "description": "screw", "item_type": ""}
    assert boss.post(f"{page}{item.pk}/change/", body).status_code == 302
    item.refresh_from_db()
    assert (item.part_number, item.key, item.description) == ("New 1", "new 1", "screw")
    assert events()[-1][0] == "item.renamed"
    assert "Old 1" in boss.get(f"{page}{item.pk}/change/").text
    make_item("other")
    answer = boss.post(f"{page}{item.pk}/change/", body | {"part_number": "OTHER"})
    assert answer.context["errors"] == [["There is the item other."]]
    for action, count in (("retire", 1), ("restore", 0)):
        boss.post(page, {"action": action, "_selected_action": [item.pk]})
        assert Item.objects.filter(retired_at__isnull=False).count() == count
        assert len(listed(boss.get(page + "?retired=yes"))) == count
    assert [name for name, _, _ in events()][-2:] == ["item.retired", "item.restored"]


def test_other_staff_change_no_items(world, onlooker):
    page = "/admin/sessions_app/item/"
    onlooker.post(page, {"action": "retire", "_selected_action": [world[0].pk]})
    assert onlooker.post(f"{page}{world[0].pk}/change/", {"part_number": "X"}).status_code == 403
    assert not Item.objects.exclude(retired_at=None, part_number="Old 1").exists()


def test_a_turn_is_not_given_on_a_retired_item(world):
    _, _, bob, session, _ = world
    items.retire([world[0].pk])
    with pytest.raises(Retired):
        operations.line.stand(bob.user, bob.pk, Wanted("Old 1", "sketch"))
    let_go(session.pk)
    assert grant_what_is_free(10) == []


def test_a_parts_list_skips_retired_and_renamed_items(world, tmp_path):
    items.rename("Old 1", "New 1")
    items.retire([world[0].pk])
    make_item("Old 2")
    file, said = tmp_path / "parts.csv", StringIO()
    file.write_text("part_number,description\nold 1,Screw\nOld 2,Nut\n", "utf-8")
    call_command("loaditems", str(file), stdout=said, stderr=StringIO())
    assert "0 new items, 2 changed, 0 unchanged. 1 of the known ones are retired" in said.getvalue()
    item = Item.objects.get(pk=world[0].pk)
    assert (item.part_number, item.description, item.retired_at is None) == (
        "New 1",
        "Screw",
        False,
    )
