"""The FreeCAD add-on's decisions where another user asks for a lock."""

import pytest

from silo_client import HandoffRequest, Lock, Lost
from silo_sessions.edits import Edits
from tests.unit.freecad_fakes import FakeServer, FakeView, place, states


@pytest.fixture
def server():
    return FakeServer()


@pytest.fixture
def view():
    return FakeView()


@pytest.fixture
def edits(server, view):
    made = Edits(server, view)
    view.on_end_edit = made.leave
    return made


REQUEST = HandoffRequest(Lock("FC-0001", "sketch", "Sketch"), "s1", "cy", "please", "w-cy")


def test_a_request_is_shown_while_the_lock_is_held(edits, server, view):
    edits.asked(REQUEST)
    assert edits.requests == []
    edits.enter(place())
    edits.asked(REQUEST)
    edits.asked(REQUEST)
    assert edits.requests == [REQUEST]
    assert ("asked", "cy") in view.seen
    edits.lost("s1", Lost("force_released"))
    assert edits.requests == []


def test_handing_over_leaves_the_edit_and_saves_first(edits, server, view):
    edits.enter(place())
    edits.changed("Doc")
    edits.asked(REQUEST)
    edits.hand_over(REQUEST)
    assert ("save", "Doc") in view.seen
    assert ("hand over", "s1", "w-cy") in server.calls
    server.handed_over()
    assert edits.holds == []
    assert server.released == []
    assert edits.requests == []


def test_what_cannot_be_saved_is_not_handed_over(edits, server, view):
    view.saves = False
    edits.enter(place())
    edits.changed("Doc")
    edits.asked(REQUEST)
    edits.hand_over(REQUEST)
    assert not [call for call in server.calls if call[0] == "hand over"]
    assert states(edits) == [("Sketch of FC-0001", True, False, True)]


def test_a_declined_request_is_no_longer_shown(edits):
    edits.enter(place())
    edits.asked(REQUEST)
    edits.decline(REQUEST)
    assert edits.requests == []
    assert edits.current.session


def test_a_request_goes_with_the_lock(edits, server):
    edits.enter(place())
    edits.asked(REQUEST)
    edits.leave()
    assert server.released == ["s1"]
    assert edits.requests == []


def test_what_is_being_handed_over_is_not_entered(edits, server, view):
    edits.enter(place())
    edits.asked(REQUEST)
    edits.hand_over(REQUEST)
    assert not edits.enter(place())
    assert view.seen[-1] == ("say", "Sketch of FC-0001 is being handed over.")
    edits.change_directly(place())
    server.handed_over()
    [hold] = edits.holds
    assert hold.why == "it was handed over to cy"
    edits.connected()
    assert server.late == []
