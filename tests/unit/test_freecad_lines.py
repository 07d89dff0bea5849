"""The FreeCAD add-on without FreeCAD: standing in line, and what the dock and the banner show."""

from types import SimpleNamespace

import pytest

from silo_client import Holder, ServerUnavailableError, Waiting, Watched, WatchedItem
from silo_client.watching import WatchedPlace, WatchedSession
from silo_sessions import overview
from silo_sessions.connection import Left
from silo_sessions.edits import Edits
from silo_sessions.waits import Waits
from silo_sessions.worker import Outcome
from tests.unit.freecad_fakes import (
    HOLDER,
    FakeServer,
    FakeView,
    place,
    session,
)

# -- the line --


class Lines(FakeServer):
    def __init__(self):
        super().__init__()
        self.waits = []
        self.asked = []

    def ask(self, wanted, holder, message, then):
        self.asked.append((holder.session_id, wanted.lock.object_id, message))
        then(self.outcome_of_asking)

    outcome_of_asking = Outcome()

    def wait(self, wanted, ask, report, then):
        entry = SimpleNamespace(ask=ask, report=report, then=then, left=False)
        self.waits.append(entry)
        return lambda: setattr(entry, "left", True)


@pytest.fixture
def line():
    server, view = Lines(), FakeView()
    edits = Edits(server, view)
    return SimpleNamespace(server=server, view=view, edits=edits, waits=Waits(server, edits, view))


def test_the_turn_holds_the_lock_until_it_is_entered_or_given_up(line):
    line.waits.stand(place())
    line.waits.stand(place())
    [entry] = line.server.waits
    entry.report(Waiting(place().lock, 2, Holder.from_payload(HOLDER), 1.0))
    [row] = overview.waiting(line.waits)
    assert row.text == "Sketch of FC-0001 · place 2, ada has it"
    entry.then(Outcome(session()))
    assert line.view.seen == [("turn", "Sketch of FC-0001")]
    assert line.waits.all == []
    [row] = overview.held(line.edits)
    assert row.text == "Sketch of FC-0001 · your turn: enter it, or release it"
    assert line.edits.enter(place())
    assert line.server.calls == []
    line.edits.leave()
    assert line.server.released == ["s1"]


def test_a_turn_that_comes_while_the_line_is_left_is_released(line):
    line.waits.stand(place())
    line.waits.leave(place().lock)
    [entry] = line.server.waits
    assert entry.left
    entry.then(Outcome(session()))
    assert line.server.released == ["s1"]
    assert line.edits.holds == []


def test_closing_the_document_leaves_its_lines(line):
    line.waits.stand(place())
    line.waits.closed("Other")
    assert line.waits.all
    line.waits.closed("Doc")
    assert line.server.waits[0].left
    line.server.waits[0].then(Outcome(error=Left()))
    assert line.view.seen == []


def test_asking_while_one_waits_asks_the_holder_and_keeps_the_place(line):
    line.waits.stand(place())
    [entry] = line.server.waits
    line.waits.stand(place(), "may I?")
    assert line.server.asked == []
    entry.report(Waiting(place().lock, 2, Holder.from_payload(HOLDER), 1.0))
    entry.report(Waiting(place().lock, 1, Holder.from_payload(HOLDER), 2.0))
    assert line.server.asked == [("of-ada", "Sketch", "may I?")]
    line.server.outcome_of_asking = Outcome(error=ServerUnavailableError("no"))
    line.waits.stand(place(), "please")
    assert line.server.asked[1:] == [("of-ada", "Sketch", "please")]
    assert line.server.waits == [entry]
    assert not entry.left
    assert line.view.seen == [
        ("say", "ada was asked for Sketch of FC-0001."),
        ("say", "ada was not asked: the server cannot be reached."),
    ]


@pytest.mark.parametrize("left", [False, True])
def test_a_turn_that_another_window_has_is_not_ended_here(line, left):
    line.waits.stand(place())
    if left:
        line.waits.leave(place().lock)
    line.server.waits[0].then(Outcome(session(existing=True)))
    assert line.server.calls == [("leave", "s1")]
    assert line.edits.holds == []
    assert line.waits.all == []
    assert line.view.seen == ([] if left else [("other window", "Sketch of FC-0001")])


def test_a_line_that_ends_by_an_error_is_told(line):
    line.waits.stand(place())
    line.server.waits[0].then(Outcome(error=ServerUnavailableError("no")))
    assert line.view.seen == [
        ("say", "You no longer wait for Sketch of FC-0001: the server cannot be reached.")
    ]


# -- what the dock shows --


def test_the_dock_names_states_and_conflicts(line):
    conflict = {**HOLDER, "object_id": "Sketch001", "shared": ["Body"]}
    line.server.answers["Sketch"] = session(conflicts=[conflict])
    line.edits.enter(place())
    [row] = overview.held(line.edits)
    assert row.text == "Sketch of FC-0001 · in edit · ada's edit may conflict"
    assert row.hint == "ada edits Sketch001 on desk; both reach Body"
    line.edits.changed("Doc")
    assert "in edit, changed" in overview.held(line.edits)[0].text
    line.edits.leave()
    assert "changed, held until saved" in overview.held(line.edits)[0].text


def test_the_banner_says_what_is_not_locked(line):
    def banner(**more):
        said = {"logged_in": True, "connected": True, "why": "not logged in."}
        return overview.banner(line.edits, **(said | more))

    assert banner() == ""
    assert banner(logged_in=False) == "Nothing is locked: log in, or connect."
    assert "opened again by itself" in banner(connected=False)
    line.server.answers["Sketch"] = ServerUnavailableError("no")
    line.edits.enter(place())
    assert banner() == (
        "Sketch of FC-0001 is not locked: the server cannot be reached. Others may change it too."
    )


def test_the_dock_shows_others_and_not_oneself():
    me = {**HOLDER, "workstation": {"id": "w-me", "name": "me"}}
    holders = [Holder.from_payload({**one, "part_number": "FC-0001"}) for one in (HOLDER, me)]
    item = WatchedItem(
        "FC-0001",
        tuple(WatchedSession(**vars(one)) for one in holders),
        tuple(WatchedPlace(**vars(one), position=at) for at, one in enumerate(holders, 1)),
    )
    picture = Watched(
        {
            "FC-0001": item,
            "FC-8": WatchedItem("FC-8", (WatchedSession(**vars(holders[1])),)),
            "FC-9": WatchedItem("FC-9", problem="There is no FC-9."),
        }
    )
    texts = [row.text.partition(" · since")[0] for row in overview.others(picture, "w-me")]
    assert texts == [
        "ada edits Sketch of FC-0001",
        "ada waits for Sketch of FC-0001 · place 1",
        "FC-8: nobody else edits it",
        "FC-9: There is no FC-9.",
    ]
