"""The FreeCAD add-on's decisions: entering, refusing, leaving, holding until saved, losing."""

from dataclasses import replace

import pytest

from silo_client import Lost, NotFoundError, ServerUnavailableError
from silo_sessions.edits import Edits
from silo_sessions.reasons import lost_text
from tests.unit.freecad_fakes import FakeServer, FakeView, place, refusal, session, states


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


def test_an_edit_acquires_and_ends_with_a_release(edits, server, view):
    assert edits.enter(place())
    assert states(edits) == [("Sketch of FC-0001", True, True, False)]
    edits.leave()
    assert edits.holds == []
    assert server.calls == [("acquire", "Sketch"), ("release", "s1")]
    assert view.seen == []


def test_leaving_without_an_edit_does_nothing(edits, server):
    edits.leave()
    edits.changed("Doc")
    assert server.calls == []


def test_a_refused_edit_is_not_entered_and_names_the_holder(edits, server, view):
    server.answers["Sketch"] = refusal()
    assert not edits.enter(place())
    assert view.seen == [("refused", "Sketch of FC-0001", "ada")]
    edits.leave()
    assert edits.holds == []
    assert server.released == []


def test_another_window_of_the_same_user_is_no_lock_of_this_one(edits, server, view):
    server.answers["Sketch"] = session(existing=True)
    assert not edits.enter(place())
    assert view.seen == [("other window", "Sketch of FC-0001")]
    assert server.calls[-1] == ("leave", "s1")
    assert server.released == []


def test_entering_another_edit_ends_the_first(edits, server):
    edits.enter(place("Sketch"))
    edits.enter(place("Sketch001"))
    assert server.released == ["s1"]
    assert states(edits) == [("Sketch001 of FC-0001", True, True, False)]


def test_a_change_is_held_until_it_is_saved(edits, server):
    edits.enter(place())
    edits.changed("Doc")
    edits.leave()
    assert states(edits) == [("Sketch of FC-0001", True, False, True)]
    edits.saved("Other")
    assert server.released == []
    edits.saved("Doc")
    assert server.released == ["s1"]
    assert edits.holds == []


def test_a_save_in_the_edit_does_not_end_it(edits, server):
    edits.enter(place())
    edits.changed("Doc")
    edits.saved("Doc")
    assert server.released == []
    edits.leave()
    assert server.released == ["s1"]


def test_a_change_of_another_document_is_not_this_edits(edits, server):
    edits.enter(place())
    edits.changed("Other")
    edits.leave()
    assert server.released == ["s1"]


def test_closing_without_saving_releases(edits, server):
    edits.enter(place())
    edits.changed("Doc")
    edits.closed("Doc")
    assert server.released == ["s1"]
    assert edits.holds == []


def test_entering_again_what_is_held_asks_nobody(edits, server):
    edits.enter(place())
    edits.changed("Doc")
    edits.leave()
    assert edits.enter(place())
    assert server.calls == [("acquire", "Sketch")]
    edits.leave()
    assert states(edits) == [("Sketch of FC-0001", True, False, True)]


def test_entering_again_gives_the_server_the_cone_of_now(edits, server):
    edits.enter(place())
    edits.changed("Doc")
    edits.leave()
    wider = replace(place(), cone=("Sketch", "Pad"))
    assert edits.enter(wider)
    assert server.calls == [("acquire", "Sketch"), ("later", "Sketch")]
    server.arrive()
    assert edits.current.place.cone == ("Sketch", "Pad")
    edits.saved("Doc")
    edits.leave()
    assert server.released == ["s1"]


# -- the server is away --


def test_the_user_goes_on_without_the_server_and_is_locked_when_it_is_back(edits, server, view):
    server.answers["Sketch"] = ServerUnavailableError("no route")
    assert edits.enter(place())
    assert edits.current.why == "the server cannot be reached"
    del server.answers["Sketch"]
    edits.connected()
    edits.connected()
    assert server.calls.count(("later", "Sketch")) == 1
    server.arrive()
    assert states(edits) == [("Sketch of FC-0001", True, True, False)]
    assert edits.current.why == ""


def test_a_late_refusal_is_told_and_nothing_is_held(edits, server, view):
    server.answers["Sketch"] = ServerUnavailableError("no route")
    edits.enter(place())
    server.answers["Sketch"] = refusal()
    edits.connected()
    server.arrive()
    assert view.seen == [("refused late", "Sketch of FC-0001", "ada")]
    assert edits.current.why == "ada has it"
    edits.connected()
    assert server.late == []
    edits.leave()
    assert edits.holds == []
    assert server.released == []


def test_an_answer_that_comes_too_late_is_taken_while_the_edit_is_open(edits, server):
    server.answers["Sketch"] = "late"
    assert edits.enter(place())
    assert "did not answer within 1 s" in edits.current.why
    server.arrive()
    assert edits.current.session.id == "s1"
    assert edits.current.why == ""


def test_a_session_that_comes_after_the_edit_is_released(edits, server):
    server.answers["Sketch"] = "late"
    edits.enter(place())
    edits.leave()
    assert edits.holds == []
    server.arrive()
    assert server.released == ["s1"]


def test_a_late_answer_does_not_release_the_session_of_the_next_edit(edits, server):
    server.answers["Sketch"] = "late"
    edits.enter(place())
    edits.leave()
    late, server.late = server.late, []
    server.answers["Sketch"] = session(number=7)
    edits.enter(place())
    [(wanted, then)] = late
    then(server.outcome(wanted))
    assert edits.current.session.id == "s7"
    assert server.released == []


def test_a_change_without_the_server_goes_on_being_wanted_until_it_is_saved(edits, server):
    server.answers["Sketch"] = ServerUnavailableError("no route")
    edits.enter(place())
    edits.changed("Doc")
    edits.leave()
    assert states(edits) == [("Sketch of FC-0001", False, False, True)]
    del server.answers["Sketch"]
    edits.connected()
    server.arrive()
    assert states(edits) == [("Sketch of FC-0001", True, False, True)]
    edits.saved("Doc")
    assert server.released == ["s1"]


def test_another_refusal_is_said_in_the_servers_words(edits, server):
    server.answers["Sketch"] = NotFoundError(404, "not_found", "There is no item FC-0001.", {})
    assert edits.enter(place())
    assert edits.current.why == "There is no item FC-0001"


# -- direct changes --


def test_a_direct_change_acquires_in_the_background_and_holds_until_saved(edits, server):
    body = place("Body", level="partdesign")
    edits.change_directly(body)
    edits.change_directly(body)
    assert server.calls == [("later", "Body")]
    server.arrive()
    assert states(edits) == [("Body of FC-0001", True, False, True)]
    edits.saved("Doc")
    assert server.released == ["s1"]


def test_a_refused_change_is_offered_back_once_and_shown_until_it_is_saved(edits, server, view):
    server.answers["Body"] = refusal()
    body = place("Body", level="partdesign")
    edits.change_directly(body)
    server.arrive()
    assert view.seen == [("change refused", "Body of FC-0001", "ada")]
    assert edits.holds[0].why == "ada has it"
    # The user keeps it, and goes on.
    edits.change_directly(body)
    edits.connected()
    assert server.calls == [("later", "Body")]
    edits.saved("Doc")
    assert edits.holds == []
    edits.change_directly(body)
    assert server.calls == [("later", "Body")] * 2


def test_a_new_feature_is_refused_when_it_is_entered_though_its_body_has_changed(
    edits, server, view
):
    server.answers["Body"] = refusal()
    body = place("Body", level="partdesign")
    edits.change_directly(body)
    assert not edits.enter(body)
    assert view.seen == [("refused", "Body of FC-0001", "ada")]
    # The body's change, which came first, is offered back.
    server.arrive()
    assert view.seen[1:] == [("change refused", "Body of FC-0001", "ada")]
    assert states(edits) == [("Body of FC-0001", False, False, True)]


def test_entering_while_a_change_of_it_asks_takes_one_lock(edits, server):
    body = place("Body", level="partdesign")
    edits.change_directly(body)
    server.answers["Body"] = session("Body", 5, "partdesign")
    assert edits.enter(body)
    server.arrive()
    edits.leave()
    assert states(edits) == [("Body of FC-0001", True, False, True)]
    assert server.released == []
    edits.saved("Doc")
    assert server.released == ["s5"]


def test_a_change_after_an_undone_one_is_asked_about_again(edits, server):
    server.answers["Body"] = refusal()
    body = place("Body", level="partdesign")
    edits.change_directly(body)
    server.arrive()
    edits.undone(body)
    edits.change_directly(body)
    assert server.calls == [("later", "Body")] * 2


def test_a_change_that_meets_the_other_window_is_offered_back(edits, server, view):
    server.answers["Body"] = session("Body", existing=True)
    edits.change_directly(place("Body"))
    server.arrive()
    assert view.seen == [("change refused", "Body of FC-0001", None)]
    assert edits.holds[0].why == "your other window has it"
    assert server.calls[-1] == ("leave", "s1")


def test_giving_up_a_changed_lock_releases_it(edits, server):
    edits.change_directly(place("Body"))
    server.arrive()
    edits.give_up(place("Body").lock)
    assert server.released == ["s1"]


def test_what_is_in_edit_is_not_given_up(edits, server):
    edits.enter(place())
    edits.give_up(place().lock)
    assert server.released == []


# -- losing --


@pytest.mark.parametrize(("how", "again"), [("force_released", False), ("expired", True)])
def test_a_lost_lock_is_told_and_acquired_again_if_nobody_took_it(edits, server, view, how, again):
    edits.enter(place())
    edits.lost("s1", Lost(how))
    assert view.seen == [("lost", "Sketch of FC-0001", how)]
    assert edits.current.session is None
    edits.connected()
    server.arrive()
    assert bool(edits.current.session) is again


def test_a_lost_lock_that_nothing_needs_is_dropped(edits, server, view):
    edits.granted(place(), session())
    edits.lost("s1", Lost("force_released"))
    assert edits.holds == []
    assert view.seen == []


def test_a_new_log_in_acquires_again_what_is_in_use(edits, server):
    edits.enter(place("Sketch"))
    edits.granted(place("Sketch001"), session("Sketch001", 9))
    edits.reconnected()
    server.arrive()
    assert states(edits) == [("Sketch of FC-0001", True, True, False)]
    assert edits.current.session.id == "s2"
    assert server.released == []


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (
            Lost("force_released", "root", "on holiday"),
            "an administrator ended it (root: on holiday)",
        ),
        (Lost("new"), "the server says that it has ended"),
    ],
)
def test_it_is_said_how_a_lock_was_lost(how, said):
    assert lost_text(how) == said


def test_unsaved_changes_stay_with_their_document_where_a_part_is_open_twice(edits, server):
    edits.enter(place())
    edits.changed("Doc")
    edits.leave()
    assert edits.enter(place(document="Copy"))
    edits.leave()
    edits.closed("Copy")
    assert server.released == []
    edits.saved("Doc")
    assert server.released == ["s1"]
