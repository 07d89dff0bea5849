"""What people do on the page of a session, each answered in words; the API's operations and rights decide."""

import re
import uuid

import pytest
from django.urls import reverse

from board_app import rows
from events_app.models import Connection, LogEntry
from sessions_app.models import EditSession, EndedSession, HandoffRequest, PlaceInLine
from sessions_app.roles import Role
from tests.factories import acquire, make_connected, make_item, make_user, wait_for
from tests.integration.admin_site import client_of, text_of
from tests.integration.test_security_headers import check_page

pytestmark = pytest.mark.django_db


@pytest.fixture
def held(ada):
    return acquire(ada, make_item("A01-0009"), "Sketch001").session


def address(session):
    return reverse("board:session", args=[session.pk])


def act(workstation_or_user, session, name, **given):
    """Act, and return the text of the page that follows."""
    user = getattr(workstation_or_user, "user", workstation_or_user)
    sent = {"act": name, "back": "/?mine=1", **given}
    answer = client_of(user).post(address(session), sent, follow=True)
    check_page(answer)
    assert answer.status_code == 200
    return text_of(answer)


def test_the_page_offers_what_its_reader_may_do(ada, bob, held):
    viewer, root = make_user("vi", Role.VIEWER), make_user("chief", Role.ADMIN)
    offers = {"Release", "Hand off", "Stand in line", "Ask", "Force-release"}
    for user, expected in {
        ada.user: {"Release"},
        bob.user: {"Stand in line", "Ask"},
        viewer: set(),
        root: {"Ask", "Force-release"},
    }.items():
        page = client_of(user).get(address(held))
        check_page(page)
        assert {one for one in offers if f">{one}</button>" in text_of(page)} == expected
    assert "None of your workstations is connected" in text_of(client_of(root).get(address(held)))


def test_the_holder_releases(ada, held):
    assert "was released" in act(ada, held, "release")
    assert EndedSession.objects.get().reason == "released"


def test_nobody_begins_on_the_board_what_no_program_knows_of(ada, bob, held, monkeypatch):
    """It is released after the page's look, before the line's."""
    look = rows.one
    monkeypatch.setattr(
        rows,
        "one",
        lambda *given: (look(*given), EditSession.objects.release_for_workstation([ada.pk]))[0],
    )
    assert "Nobody holds it any more" in act(bob, held, "stand", workstation=bob.pk)
    assert not EditSession.objects.exists()
    assert not PlaceInLine.objects.exists()


def test_a_page_that_led_here_by_no_address_leads_back_to_the_board(bob, held):
    answer = client_of(bob.user).get(address(held), headers={"Referer": "http://["})
    assert answer.status_code == 200
    assert answer.context["back"] == "/"


def test_one_stands_in_line_and_leaves_it(bob, held):
    assert "at place 1" in act(bob, held, "stand", workstation=bob.pk)
    place = PlaceInLine.objects.get()
    assert (place.workstation, place.object_id) == (bob, "Sketch001")
    page = text_of(client_of(bob.user).get(address(held)))
    assert "Leave the line" in page
    assert ">Stand in line</button>" not in page
    assert "You have left the line" in act(bob, held, "leave", place=place.pk)
    assert not PlaceInLine.objects.exists()


def test_nobody_takes_the_place_of_another_away(bob, carol, held):
    place = wait_for(bob, held).place
    assert "Another user has this place" in act(carol, held, "leave", place=place.pk)
    assert PlaceInLine.objects.exists()


def test_an_admin_removes_the_place_of_another(bob, carol, root, held):
    for workstation in (bob, carol, root):
        wait_for(workstation, held)
    page = text_of(client_of(root.user).get(address(held)))
    [form] = re.findall(r'<select id="place".*?</select>', page, re.DOTALL)
    places = {place.workstation: place.pk for place in PlaceInLine.objects.all()}
    assert [str(pk) in form for pk in map(places.get, (bob, carol, root))] == [True, True, False]
    said = act(root, held, "leave", place=places[bob])
    assert "The place of bob on bob&#x27;s in the line for A01-0009 sketch Sketch001 was" in said
    assert "You have left" not in said
    assert "You have left the line" in act(root, held, "leave", place=places[root])
    assert PlaceInLine.objects.get().workstation == carol
    assert 'id="place"' not in text_of(client_of(bob.user).get(address(held)))


def test_who_has_lost_the_role_lets_go_as_by_the_api(ada, bob, carol, held):
    """Of what is theirs, and of nothing else: the pages of others are refused, and so is anything but letting go."""
    other = acquire(bob, make_item("A01-0010")).session
    third = acquire(bob, make_item("A01-0011")).session
    place = wait_for(ada, other).place
    ada.user.groups.clear()
    browser = client_of(ada.user)
    for refused in ("/", address(third), reverse("board:session", args=[uuid.uuid4()])):
        page = browser.get(refused)
        check_page(page)
        assert page.status_code == 403
        assert "This user has no role" in text_of(page)
        named = re.findall(r"/board/sessions/([0-9a-f-]{36})", text_of(page))
        assert set(named) == {str(held.pk), str(other.pk)}
    text = text_of(browser.get(address(other)))
    assert ">Leave the line</button>" in text
    assert ">Ask</button>" not in text
    for session, name, given in (
        (other, "ask", {"message": ""}),
        (other, "stand", {"workstation": ada.pk}),
        (third, "release", {}),
        (held, "force_release", {"reason": "so"}),
    ):
        browser.post(address(session), {"act": name, **given})
    assert EditSession.objects.count() == 3
    assert not HandoffRequest.objects.exists()
    said = browser.post(address(held), {"act": "release"}, follow=True)
    assert "Your session on A01-0009 sketch Sketch001 was released." in text_of(said)
    said = browser.post(address(other), {"act": "leave", "place": place.pk}, follow=True)
    assert "You have left the line" in text_of(said)
    assert "You still hold" not in text_of(said)
    assert not PlaceInLine.objects.exists()


def test_one_asks_and_gets_it_handed_over(ada, bob, held):
    assert "was asked for" in act(bob, held, "ask", message="please", workstation=bob.pk)
    entry = LogEntry.objects.filter(type="edit.handoff_requested").get()
    assert "please" in entry.data
    assert HandoffRequest.objects.get().workstation == bob
    assert ", has asked<" in text_of(client_of(ada.user).get(address(held)))
    assert "was handed off to bob" in act(ada, held, "hand_over", workstation=bob.pk)
    assert EditSession.objects.get().workstation == bob


def test_whoever_asks_for_any_workstation_is_offered_with_those_that_are_connected(ada, bob, held):
    act(bob, held, "ask", message="")
    assert ", has asked<" in text_of(client_of(ada.user).get(address(held)))
    Connection.objects.filter(key=bob.pk).delete()
    assert ", has asked<" not in text_of(client_of(ada.user).get(address(held)))


def test_an_admin_ends_a_session_with_a_reason_only(root, held):
    assert "A reason is required" in act(root, held, "force_release", reason=" ")
    assert EditSession.objects.exists()
    assert "was force-released" in act(root, held, "force_release", reason="gone home")
    record = EndedSession.objects.get()
    assert (record.reason, record.note, record.ended_by) == ("force_released", "gone home", "root")


@pytest.mark.parametrize(
    ("name", "given"),
    [("release", {}), ("hand_over", {}), ("force_release", {"reason": "mine"})],
)
def test_nobody_ends_what_is_not_theirs(bob, held, name, given):
    said = act(bob, held, name, workstation=bob.pk, **given)
    assert "Another user holds" in said or "needs the role admin" in said
    assert EditSession.objects.exists()


@pytest.mark.parametrize("name", ["ask", "stand", "force_release"])
def test_a_viewer_changes_nothing(held, name):
    viewer = make_connected("vi", Role.VIEWER)
    said = act(viewer, held, name, workstation=viewer.pk, message="", reason="so")
    assert "This needs the role" in said
    assert EditSession.objects.exists()
    assert not PlaceInLine.objects.exists()
    assert not HandoffRequest.objects.exists()


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("ask", {"message": "\0"}),
        ("ask", {"message": "x" * 2001}),
        ("ask", {"message": "", "workstation": "x"}),
        ("stand", {"workstation": ""}),
        ("leave", {"place": "x"}),
    ],
)
def test_bad_input_is_answered_and_changes_nothing(bob, held, name, given):
    assert 'class="error"' in act(bob, held, name, **given)
    assert not PlaceInLine.objects.exists()
    assert not HandoffRequest.objects.exists()


def test_an_unknown_act_is_refused(bob, held):
    assert client_of(bob.user).post(address(held), {"act": "sell"}).status_code == 422


def test_a_session_that_has_ended_is_said_to_have(ada, bob, held):
    act(ada, held, "release")
    assert "has ended meanwhile" in act(bob, held, "ask", message="")
    answer = client_of(bob.user).get(address(held))
    assert answer.status_code == 404
    check_page(answer)
    assert client_of(bob.user).get(reverse("board:session", args=[uuid.uuid4()])).status_code == 404


@pytest.mark.parametrize(
    "back", ["https://evil.example/", "//evil.example/", "javascript:alert(1)", "x"]
)
def test_an_act_leads_to_no_other_service(ada, held, back):
    answer = client_of(ada.user).post(address(held), {"act": "release", "back": back})
    assert answer["Location"] == "/"


def test_an_act_leads_back_to_the_page_it_came_from(ada, held):
    client = client_of(ada.user)
    page = client.get(address(held), headers={"Referer": "http://testserver/?mine=1"})
    assert 'name="back" value="/?mine=1"' in text_of(page)
    page = client.get(address(held), headers={"Referer": "http://evil.example/?mine=1"})
    assert 'name="back" value="/"' in text_of(page)
