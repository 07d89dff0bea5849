"""The pages of items, workstations and users."""

import re
import uuid
from datetime import timedelta
from html import unescape
from urllib.parse import quote

import pytest
from django.test import Client

from board_app import links
from sessions_app import operations
from sessions_app.models import EditSession
from sessions_app.roles import Role
from tests.factories import (
    acquire,
    let_go,
    make_item,
    make_user,
    make_workstation,
    stand,
    wait_for,
)
from tests.integration.admin_site import client_of, text_of
from tests.integration.board_history import DAY, NOW, addresses, drawn, held_now, records, shown

pytestmark = pytest.mark.django_db


@pytest.fixture
def viewer():
    return client_of(make_user("vic", Role.VIEWER))


@pytest.mark.parametrize("role", [*Role, None, "nobody"])
def test_they_are_for_everybody_with_a_role(held, role):
    client = Client() if role == "nobody" else client_of(make_user("you", role))
    for address in addresses(held):
        answer = client.get(address)
        if role == "nobody":
            assert answer.status_code == 302
            assert answer["Location"].startswith(f"/board/log-in?next={quote(address, safe='/')}")
        else:
            assert answer.status_code == (403 if role is None else 200)
        assert ("Sketch001" in text_of(answer)) == (role not in {None, "nobody"})


def test_nothing_is_written_by_them(held, viewer):
    for address in addresses(held):
        assert viewer.post(address).status_code == 405


def test_each_shows_what_is_held_waited_for_and_was_held(viewer, ada, bob, item, held):
    EditSession.objects.update(acquired_at=NOW - timedelta(hours=2))
    was = acquire(ada, item, "Pad").session
    operations.release.force_release(was.pk, by="root", note="left for the day")
    stand(bob, item, "Sketch001", "partdesign")
    for address in addresses(held):
        answer = viewer.get(address)
        assert shown(answer) == ["Sketch001", "Pad"]
        assert set(drawn(answer)) == {f"s-{held.pk}", f"s-{was.pk}"}
        assert held_now(answer) == [held.pk]
        text = text_of(answer)
        for key in drawn(answer):
            assert f'href="#{key}"' in text
            assert f'<tr id="{key}"' in text
        assert "left for the day" in text
        assert f'href="{links.user_page("root")}"' in text
        for other in addresses(held):
            assert f'href="{other}"' in text or other == address
    [place] = viewer.get(addresses(held)[0]).context["places"]
    assert (place.workstation, place.position) == (bob, 1)
    [place] = viewer.get(links.user_page("bob")).context["places"]
    assert (place.item, place.position) == (item, 1)
    assert viewer.get(links.workstation_page(bob.pk)).context["places"] == [place]


def test_the_board_shows_the_same_live(viewer, held, bob):
    acquire(bob, make_item("B"))
    for address in addresses(held):
        page = viewer.get(address)
        [query] = re.findall(r'href="(/\?[^"]*)">The same on the board', text_of(page))
        assert held_now(viewer.get(unescape(query))) == held_now(page) == [held.pk]
        # By what the script reads it anew.
        [query] = re.findall(r'data-query="([^"]*)"', text_of(page))
        text = text_of(viewer.get(f"/board/rows?places=1&{unescape(query)}"))
        assert re.findall(r'id="s([^"]*)" data-item', text) == [str(held.pk)]
        [stream] = re.findall(r'data-stream="([^"]*)"', text_of(page))
        item = address == links.item_page(held.item.part_number)
        assert stream == f"/api/events?{'item=A01-0001' if item else 'all=true'}"


def test_the_places_in_line_are_read_anew_with_the_rows(viewer, held, bob, carol):
    def places(query):
        text = text_of(viewer.get(f"/board/rows?places=1&{query}"))
        [table] = re.findall(r'<div id="places">(.*?)</div>\s*$', text, re.DOTALL)
        return " ".join(re.sub(r"<[^>]*>", " ", table).split())

    assert places("item=A01-0001") == ""
    wait_for(bob, held)
    wait_for(carol, held)
    for query in ("item=a01-0001", f"item=A01-0001&items={held.item_id}"):
        assert re.findall(r"(\d) (bob|carol) ", places(query)) == [("1", "bob"), ("2", "carol")]
    for query in ("user=carol", f"workstation={carol.pk}", "workstation=Carol%27s"):
        shown_places = places(query)
        assert "A01-0001 Sketch001 partdesign 2" in shown_places
        assert "bob" not in shown_places
    assert places("user=ada") == ""
    assert "places" not in text_of(viewer.get("/board/rows?item=A01-0001"))


def test_of_several_in_line_each_has_its_position(viewer, held, bob, carol):
    for workstation in (bob, carol):
        stand(workstation, held.item, "Sketch001", "partdesign")
    places = viewer.get(addresses(held)[0]).context["places"]
    assert [(place.workstation, place.position) for place in places] == [(bob, 1), (carol, 2)]
    [place] = viewer.get(links.user_page("carol")).context["places"]
    assert place.position == 2


def test_both_sides_of_a_soft_interference_say_so(viewer, held, bob):
    other = acquire(bob, held.item, "Pad", cone=("n1",)).session
    for mine, met in ((held, other), (other, held)):
        text = text_of(viewer.get(links.workstation_page(mine.workstation_id)))
        assert f">soft interference</span> with {met.user.username}" in text


@pytest.mark.parametrize(
    "number", ["DIN 912/M5", "Hülle ä/ö?#&%2F+;:@", "a/../b", "B<b>old</b>'\"", "x/", "100 %"]
)
def test_a_part_number_of_any_kind_has_a_page(viewer, ada, number):
    held = acquire(ada, make_item(number)).session
    answer = viewer.get(links.item_page(number))
    assert held_now(answer) == [held.pk]
    text = text_of(answer)
    assert "<b>old" not in text
    assert f'href="{links.item_page(number)}"' in text_of(viewer.get(links.user_page("ada")))


def test_every_name_is_escaped(viewer):
    nasty = "<script>alert(1)</script>"
    user = make_user("ada", first_name=nasty, last_name='"><b>')
    workstation = make_workstation(user, f"{nasty}'s")
    held = acquire(workstation, make_item(nasty), nasty).session
    was = acquire(workstation, make_item("A"), nasty).session
    operations.release.force_release(was.pk, by="root", note=nasty)
    for address in addresses(held):
        text = text_of(viewer.get(address))
        assert "<script>alert" not in text
        assert "<b>" not in text
        assert "&lt;script&gt;alert(1)" in text


def test_no_style_and_no_script_is_in_them(viewer, held):
    records(held.item, held.workstation, [NOW - DAY], reason="expired")
    for address in addresses(held):
        answer = viewer.get(address)
        assert not re.search(r"\sstyle=|<style|<script>|\son[a-z]+=", text_of(answer))
        assert "unsafe" not in answer["Content-Security-Policy"]


def test_another_spelling_and_a_former_number_lead_to_the_item(viewer, ada):
    item = make_item("A01-0001")
    acquire(ada, item)
    operations.items.rename("A01-0001", "B 02/1")
    for number in ("A01-0001", "a01-0001", "b  02/1", " B 02/1"):
        answer = viewer.get(links.item_page(number) + "?range=30d")
        assert answer.status_code == 302
        assert answer["Location"] == "/items/B%2002%2F1?range=30d"
    answer = viewer.get("/items/B%2002%2F1")
    assert "A01-0001" in text_of(answer)
    assert answer.context["page"].rows[0].session.item.part_number == "B 02/1"


def test_a_merged_item_has_the_record_of_both(viewer, ada):
    first, second = make_item("A-1"), make_item("A-2")
    for item in (first, second):
        let_go(acquire(ada, item, item.part_number).session.pk)
    operations.merge.merge(second.pk, {first.pk})
    answer = viewer.get(links.item_page("A-1"), follow=True)
    assert sorted(shown(answer)) == ["A-1", "A-2"]
    assert answer.redirect_chain == [("/items/A-2", 302)]


def test_what_was_deleted_has_a_page_from_the_record(viewer):
    item, workstation = make_item(), make_workstation(make_user("gone"))
    [was] = records(item, workstation, [NOW - DAY], user_name="Long Gone")
    user = workstation.user
    workstation.delete()
    user.delete()
    item.delete()
    for address in (
        links.item_page(was.part_number),
        links.workstation_page(was.workstation_id),
        links.user_page(was.username),
    ):
        answer = viewer.get(address)
        assert shown(answer) == ["S0"]
        assert "Long Gone" in text_of(answer)
        assert "deleted" in text_of(answer) or "not there any more" in text_of(answer)


def test_what_is_not_there_is_said_with_what_may_be_meant(viewer):
    make_item("A01-0002")
    answer = viewer.get("/items/A01-000X")
    assert answer.status_code == 404
    assert "There is no item A01-000X" in text_of(answer)
    assert 'href="/items/A01-0002"' in text_of(answer)
    for address in ("/workstations/nothing", f"/workstations/{uuid.uuid4()}", "/users/nobody"):
        answer = viewer.get(address)
        assert answer.status_code == 404
        assert 'href="/"' in text_of(answer)
        assert "<h1>There is no such" in text_of(answer)
    for address in ("/items/a%00b", "/users/a%00b", "/items/.%E2%80%8B."):
        assert viewer.get(address).status_code == 404


def test_others_see_of_a_workstation_and_a_user_what_the_api_shows(viewer, ada, item):
    addresses_of_ada = [links.workstation_page(ada.pk), links.user_page("ada")]
    assert {viewer.get(one).status_code for one in addresses_of_ada} == {404}
    for client in (client_of(ada.user), client_of(make_user("boss", Role.ADMIN))):
        own = [client.get(one) for one in addresses_of_ada]
        assert {one.status_code for one in own} == {200}
        assert "connected now" in text_of(own[0])
        assert [one["name"] for one in own[1].context["workstations"]] == [ada.name]
    let_go(acquire(ada, item).session.pk)
    for one in addresses_of_ada:
        answer = viewer.get(one)
        assert shown(answer) == [""]
        assert "Last seen" not in text_of(answer)
        assert "last seen" not in text_of(answer)
        assert ada.fingerprint not in text_of(answer)
