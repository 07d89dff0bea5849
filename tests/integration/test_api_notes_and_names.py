"""What a holder says of a session (`note`), and who that is (`user_name`), wherever a holder is shown."""

import pytest

from sessions_app.models import EditSession, EndedSession
from sessions_app.roles import Role
from tests.factories import api_of, connect, counts, events, let_go, make_user, make_workstation

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("item")]

URL = "/api/items/A01-0001/edit-sessions"
LINE = "/api/items/A01-0001/edit-session-requests"
BATCH = "/api/edit-sessions/batch"
ADA = {"user": "ada", "user_name": "Ada Lovelace"}


@pytest.fixture
def ada():
    return connected("ada", "Ada", "Lovelace")


@pytest.fixture
def bob():
    return connected("bob", "", "Noyce")


def connected(name, first, last, role=Role.EDITOR):
    workstation = make_workstation(make_user(name, role, first_name=first, last_name=last), name)
    connect(workstation)
    return workstation


def call(workstation, method, url, **body):
    answer = api_of(workstation.user)(method, url, body or None)
    assert answer.status_code < 300, answer.content
    return answer.json() if answer.content else None


def acquire(workstation, url=URL, **wanted):
    body = {"workstation_id": workstation.pk, "context_level": "sketch"}
    return call(workstation, "POST", url, **body | wanted)


def who(data):
    return {name: data[name] for name in ADA}


def test_a_note_is_shown_wherever_the_session_is(ada, bob):
    mine = acquire(ada, note="Until Friday, with the supplier.", object_id="Pad")
    assert mine["note"] == "Until Friday, with the supplier."
    assert events()[-1][2]["note"] == mine["note"]
    for url in (URL, "/api/edit-sessions?all=true"):
        assert call(bob, "GET", url)["sessions"][0]["note"] == mine["note"]
    assert acquire(bob, LINE, object_id="Pad")["holder"]["note"] == mine["note"]
    refused = api_of(bob.user)(
        "POST", URL, {"workstation_id": bob.pk, "context_level": "sketch", "object_id": "Pad"}
    )
    assert refused.json()["holder"]["note"] == mine["note"]
    assert refused.json()["message"] == "Ada Lovelace (ada) is editing this on ada."
    [conflict] = acquire(bob)["conflicts"]
    assert conflict["note"] == mine["note"]


@pytest.mark.parametrize("way", ["acquire", "batch", "line"])
def test_asking_again_changes_it_and_without_one_keeps_it(ada, way):
    def ask(**more):
        if way != "batch":
            return acquire(ada, URL if way == "acquire" else LINE, **more)
        one = {"part_number": "A01-0001", "context_level": "sketch"} | more
        return call(ada, "POST", BATCH, workstation_id=ada.pk, sessions=[one])["sessions"][0]

    told = [
        ask(note="one")["note"],
        ask()["note"],
        ask(note=None)["note"],
        ask(note="two")["note"],
        ask(note="")["note"],
    ]
    assert told == ["one", "one", "one", "two", ""]
    assert EditSession.objects.get().note == ""


def test_in_the_line_it_waits_for_the_turn(ada, bob):
    held = acquire(ada, note="ada's")
    assert acquire(bob, LINE, note="first")["note"] == "first"
    assert acquire(bob, LINE)["note"] == "first"
    assert acquire(bob, LINE, note="then")["note"] == "then"
    assert call(ada, "GET", LINE)["requests"][0]["note"] == "then"
    let_go(held["session_id"])
    [granted] = [data for kind, _, data in events() if kind == "edit.session_granted"]
    assert granted["note"] == EditSession.objects.get().note == "then"


@pytest.mark.parametrize("stands", [True, False])
def test_over_a_hand_off_the_new_holder_has_its_own(ada, bob, stands):
    held = acquire(ada, note="ada's")
    if stands:
        acquire(bob, LINE, note="bob's")
    call(bob, "POST", f"{URL}/{held['id']}/request-handoff", message="please")
    new = call(ada, "POST", f"{URL}/{held['id']}/handoff", to_workstation_id=bob.pk)
    assert new["note"] == ("bob's" if stands else "")


def test_the_record_keeps_note_and_name_of_then(ada):
    held = acquire(ada, note="=1+1")
    root = make_user("root", Role.ADMIN)
    url = f"{URL}/{held['id']}/force-release"
    assert api_of(root)("DELETE", url, {"reason": "Due."}).status_code == 204
    ada.user.last_name = "King"
    ada.user.save()
    [record] = call(ada, "GET", "/api/edit-sessions/history")["history"]
    assert record | ADA == record
    assert (record["session_note"], record["note"]) == ("=1+1", "Due.")
    table = api_of(ada.user)("GET", "/api/edit-sessions/history?format=csv").content.decode()
    assert "Ada Lovelace" in table
    assert "'=1+1" in table


def test_a_record_of_a_server_before_has_the_accounts_name(ada):
    let_go(acquire(ada)["id"])
    [record] = EndedSession.objects.values()
    old = {name: record[name] for name in record if name not in {"id", "user_name"}}
    EndedSession.objects.create(**old | {"session_id": ada.pk})
    latest, _ = call(ada, "GET", "/api/edit-sessions/history")["history"]
    assert latest["user_name"] == "ada"


@pytest.mark.parametrize("note", ["x" * 501, "two\nlines", 7])
def test_a_note_is_one_line_of_so_many_characters(ada, note):
    before = counts()
    body = {"workstation_id": str(ada.pk), "context_level": "sketch", "note": note}
    assert api_of(ada.user)("POST", URL, body).status_code == 422
    assert counts() == before
    assert acquire(ada, note="x" * 500)["note"] == "x" * 500


def test_the_full_name_is_beside_the_account_everywhere(ada, bob):
    held = acquire(ada, object_id="Pad")
    url = f"{URL}/{held['id']}"
    place = acquire(bob, LINE, object_id="Pad")
    met = acquire(bob)
    told = events()[-2][2]
    call(bob, "POST", f"{url}/request-handoff", message="please")
    asked = events()[-1][2]
    listed = call(bob, "GET", "/api/edit-sessions?all=true")["sessions"]
    verified = call(bob, "POST", f"{url}/verify", fencing_token=held["fencing_token"])
    shown = [held, place["holder"], met["conflicts"][0], told["with"], asked, verified, listed[0]]
    assert [who(one) for one in shown] == [ADA] * len(shown)
    assert who(listed[0]["interferes_with"][0]) == {"user": "bob", "user_name": "Noyce"}
    assert who(place) == {"user": "bob", "user_name": "Noyce"}
    assert (asked["requester"], asked["requester_name"]) == ("bob", "Noyce")
    let_go(held["id"])
    [released] = [data for kind, _, data in events() if kind == "edit.session_released"]
    assert who(released) == ADA


def test_without_a_full_name_it_is_the_accounts():
    assert acquire(connected("carol", "", ""))["user_name"] == "carol"
