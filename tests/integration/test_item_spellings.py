"""One part is one part: an item is found under every spelling of its number, and shown as it was first written."""

from io import StringIO
from urllib.parse import quote

import pytest
from django.core.management import CommandError, call_command
from django.test import RequestFactory

from sessions_app import operations
from sessions_app.errors import Invalid, NotFound
from sessions_app.models import EndedSession, Item
from sessions_app.models.results import Wanted
from sessions_app.stream_grants import resolve
from tests.factories import (
    acquire,
    api_of,
    item_url,
    let_go,
    make_connected,
    make_item,
    make_token,
    make_user,
    stand,
)
from tests.integration.admin_site import listed

pytestmark = pytest.mark.django_db

WRITTEN = "Gehäuse  7/A"
# Capitals, decomposed, other blanks, full width.
SPELLINGS = [
    "GEHÄUSE 7/A",
    "geha\u0308use 7/a",
    " Gehäuse\u00a0\u20097/A ",
    "\uff27\uff45häuse 7\uff0f\uff21",
]


@pytest.fixture
def written():
    return make_item(WRITTEN)


@pytest.fixture
def api(ada):
    return api_of(ada.user)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_another_spelling_finds_the_same_item_everywhere(written, ada, api, spelling):
    body = {"workstation_id": ada.pk, "context_level": "sketch", "object_id": "S"}
    session = api("POST", item_url(spelling, "edit-sessions"), body).json()
    assert (session["item_id"], session["part_number"]) == (str(written.pk), WRITTEN)
    assert api("POST", item_url(WRITTEN, "edit-sessions"), body).json()["existing"]
    other = make_connected("carl")
    carl = api_of(other.user)
    refused = carl("POST", item_url(spelling, "edit-sessions"), body | {"workstation_id": other.pk})
    assert (refused.status_code, refused.json()["error"]) == (409, "hard_interference")
    standing = carl(
        "POST", item_url(spelling, "edit-session-requests"), body | {"workstation_id": other.pk}
    ).json()
    assert standing["part_number"] == WRITTEN
    for path in (item_url(spelling, "edit-sessions"), f"/api/edit-sessions?item={quote(spelling)}"):
        assert [one["id"] for one in api("GET", path).json()["sessions"]] == [session["id"]]
    line = api("GET", item_url(spelling, "edit-session-requests")).json()["requests"]
    assert [one["id"] for one in line] == [standing["id"]]
    of_session = item_url(spelling, "edit-sessions", session["id"])
    token = {"fencing_token": session["fencing_token"]}
    assert api("POST", of_session + "/verify", token).json()["item"] == WRITTEN
    asking = carl("POST", of_session + "/request-handoff", {"message": "please"})
    assert asking.status_code == 202
    leaving = item_url(spelling, "edit-session-requests", standing["id"])
    assert carl("DELETE", leaving).status_code == 204
    assert api("DELETE", of_session).status_code == 204
    record = api("GET", f"/api/edit-sessions/history?item={quote(spelling)}").json()["history"]
    assert [one["part_number"] for one in record] == [WRITTEN]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_stream_follows_it_by_either_way_of_naming_it(written, spelling):
    headers = {"Authorization": f"Bearer {make_token(make_user())}"}
    for query, part_number in (({"item": [spelling]}, ""), ({}, spelling)):
        request = RequestFactory().get("/api/events", query_params=query, headers=headers)
        assert f"item:{written.pk}" in resolve(request, part_number).channels


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_second_spelling_is_no_second_item(written, api, spelling):
    refused = api("POST", "/api/items", {"part_number": spelling})
    assert refused.status_code == 409
    assert refused.json() == {
        "error": "already_exists",
        "message": f"There is the item {WRITTEN}.",
    }
    assert Item.objects.get().part_number == WRITTEN


def test_a_new_part_number_loses_blanks_at_its_ends(api):
    made = api("POST", "/api/items", {"part_number": "\u3000 DIN  912 "}).json()
    assert made["part_number"] == "DIN  912"
    assert Item.objects.get().key == "din 912"


def test_every_way_to_write_an_item_sets_its_key():
    Item.objects.bulk_create([Item(part_number="ß-1"), Item(part_number="A  B")])
    saved = make_item("Ⅷ")
    saved.part_number = "ﬁ"
    saved.save()
    assert set(Item.objects.values_list("key", flat=True)) == {"ss-1", "a b", "fi"}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_search_prefix_and_pages_take_every_spelling(written, api, spelling):
    make_item("a-last")
    make_item("Z-1")

    def found(**query):
        return [
            one["part_number"]
            for one in api("GET", "/api/items", query_params=query).json()["items"]
        ]

    assert found() == ["a-last", WRITTEN, "Z-1"]
    assert found(search=spelling) == found(prefix=spelling.strip()) == [WRITTEN]
    assert found(search=spelling[1:8]) == found(prefix=spelling[:9]) == [WRITTEN]
    assert found(after=spelling) == ["Z-1"]


def test_two_spellings_in_a_batch_are_one_part_asked_for_twice(written, ada):
    wanted = [Wanted(WRITTEN, "sketch"), Wanted(SPELLINGS[0], "sketch")]
    with pytest.raises(Invalid, match=r"GEHÄUSE 7/A sketch is asked .* first time as Gehäuse  7/A"):
        operations.acquire.acquire_all(ada.user, ada.pk, wanted)
    wanted[1] = Wanted(SPELLINGS[0], "assembly")
    both = operations.acquire.acquire_all(ada.user, ada.pk, wanted)
    assert {one.session.item for one in both} == {written}


def test_a_workstation_that_comes_back_from_idleness_finds_it_too(written, ada):
    operations.alive.alive(ada.user, ada.pk, idle_seconds=3600)
    wanted = Wanted(SPELLINGS[1], "sketch")
    assert operations.acquire.acquire(ada.user, ada.pk, wanted).session.item == written


def test_a_parts_list_finds_known_items_and_doubles_in_any_spelling(written, tmp_path):
    file, said = tmp_path / "parts.csv", StringIO()
    file.write_text(f"part_number,description\n{SPELLINGS[0]},Cover\nNew,\nNEW,\n", "utf-8")
    call_command("loaditems", str(file), stdout=said, stderr=StringIO())
    assert said.getvalue().startswith("1 new items, 1 changed, 0 unchanged")
    written.refresh_from_db()
    assert (written.part_number, written.description) == (WRITTEN, "Cover")
    file.write_text("part_number,description\nA 1,a\na\u00a01,b\n", "utf-8")
    with pytest.raises(CommandError, match="stands in line 2 already"):
        call_command("loaditems", str(file), stdout=said, stderr=StringIO())


def test_the_admin_site_refuses_and_finds_other_spellings(written, boss, ada):
    page = "/admin/sessions_app/item/"
    answer = boss.post(page + "add/", {"part_number": SPELLINGS[1]})
    assert answer.context["errors"] == [[f"There is the item {WRITTEN}."]]
    session = acquire(ada, written).session
    place = stand(make_connected("carl"), written).place
    for spelling in SPELLINGS:
        query = f"?q={quote(spelling.strip())}"
        assert listed(boss.get(page + query)) == {written.pk}
        assert listed(boss.get("/admin/sessions_app/editsession/" + query)) == {session.pk}
        assert listed(boss.get("/admin/sessions_app/placeinline/" + query)) == {place.pk}


def test_the_record_of_an_item_that_is_gone_is_found_by_its_name(written, ada):
    let_go(acquire(ada, written).session.pk)
    Item.objects.all().delete()
    assert EndedSession.objects.of_item(WRITTEN).count() == 1
    assert EndedSession.objects.of_item("other").count() == 0


def test_an_unknown_item_is_named_as_it_was_requested(written, ada):
    with pytest.raises(NotFound, match="There is no item Gehause 7/A"):
        operations.acquire.acquire(ada.user, ada.pk, Wanted("Gehause 7/A", "sketch"))
