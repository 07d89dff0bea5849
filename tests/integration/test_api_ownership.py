"""Which of a workstation's windows a session or a place belongs to: the stream that it named."""

import pytest

from events_app.models import Connection
from sessions_app import operations
from sessions_app.models import EditSession, PlaceInLine
from tests.factories import acquire, api_of, connect, events, let_go, stand

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("item")]

ITEM_URL = "/api/items/A01-0001"


@pytest.fixture
def window(bob):
    """A stream of one of bob's windows."""
    return connect(bob)


@pytest.fixture
def ask():
    def ask(workstation, connection, url=f"{ITEM_URL}/edit-sessions", **body):
        body = body or {"context_level": "sketch"}
        body |= {"workstation_id": workstation.pk, "connection_id": connection}
        answer = api_of(workstation.user)("POST", url, body)
        assert answer.status_code in (200, 201), answer.content
        return answer.json()

    return ask


def owner_of(thing):
    return thing["connection_id"]


def told(kind):
    """The owner that the latest event of this kind tells."""
    return owner_of([data for name, _, data in events() if name == kind][-1])


def test_an_acquires_connection_is_in_answer_list_and_event(ask, bob, window):
    assert owner_of(ask(bob, window)) == str(window)
    api = api_of(bob.user)
    for url in (f"{ITEM_URL}/edit-sessions", "/api/edit-sessions"):
        assert [owner_of(one) for one in api("GET", url).json()["sessions"]] == [str(window)]
    assert told("edit.session_acquired") == str(window)


def test_another_window_that_gets_it_back_learns_whose_it_is(ask, bob, window):
    ask(bob, window)
    assert owner_of(ask(bob, connect(bob))) == str(window)
    # Neither does the end of the stream change it: that window may be back on another one.
    Connection.objects.filter(pk=window).delete()
    assert owner_of(ask(bob, connect(bob))) == str(window)


def test_a_session_without_stream_is_adopted_by_the_first_with_one(ask, bob, window):
    assert owner_of(ask(bob, None)) is None
    assert told("edit.session_acquired") is None
    assert owner_of(ask(bob, None)) is None
    for connection in (window, connect(bob), None):
        assert owner_of(ask(bob, connection)) == str(window)
        assert EditSession.objects.get().connection_id == window


def test_a_batch_belongs_to_who_asked_for_it(ask, bob, window):
    wanted = [{"part_number": "A01-0001", "context_level": "sketch"}]
    answer = ask(bob, window, "/api/edit-sessions/batch", sessions=wanted)
    assert [owner_of(one) for one in answer["sessions"]] == [str(window)]


def test_a_place_too_and_its_turn(ask, ada, bob, window, item):
    held = acquire(ada, item).session
    assert owner_of(ask(bob, window, f"{ITEM_URL}/edit-session-requests")) == str(window)
    line = api_of(ada.user)("GET", f"{ITEM_URL}/edit-session-requests").json()["requests"]
    assert [owner_of(place) for place in line] == [str(window)]
    let_go(held.pk)
    assert EditSession.objects.get().connection_id == window
    assert told("edit.session_acquired") == told("edit.session_granted") == str(window)


def test_a_free_lock_acquired_by_the_line_has_its_connection(ask, bob, window):
    assert owner_of(ask(bob, window, f"{ITEM_URL}/edit-session-requests")) == str(window)


@pytest.mark.parametrize("named", [True, False])
def test_a_place_without_stream_is_adopted_too(ada, bob, window, item, named):
    acquire(ada, item)
    stand(bob, item, connection_id=window if named else None)
    other = connect(bob)
    for connection in (None, other):
        stand(bob, item, connection_id=connection)
    assert PlaceInLine.objects.get().connection_id == (window if named else other)


@pytest.mark.parametrize("in_line", [True, False])
def test_a_handed_off_session_has_the_connection_of_the_place(ada, bob, window, item, in_line):
    held = acquire(ada, item).session
    operations.handoff.request(bob.user, held.pk, "please", bob.pk)
    if in_line:
        stand(bob, item, connection_id=window)
    operations.handoff.hand_off(ada.user, held.pk, bob.pk)
    assert EditSession.objects.get().connection_id == (window if in_line else None)
