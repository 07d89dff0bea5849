"""Whom sessions interfere with softly, whichever of answer, event and list comes first."""

from types import SimpleNamespace

import pytest

from silo_client.sessions import conflicts
from silo_client.sessions.edit_session import EditSession
from tests.unit.told import told

TOLD = told()


def met(session_id):
    """Whom a session meets, as the server tells it."""
    return {
        "session_id": session_id,
        "user": "bob",
        "user_name": "Bob Noyce",
        "workstation": {"id": "w2", "name": "cad-2"},
        "context_level": "sketch",
        "object_id": "",
    }


def begins(session_id, of="s1", shared=()):
    return TOLD | {"session_id": of, "with": met(session_id), "shared": list(shared)}


def over(session_id, of="s1"):
    return TOLD | {"session_id": of, "with_session_id": session_id}


def listed(*session_ids, **more):
    interference = "soft" if session_ids else "none"
    return TOLD | {
        "interference": interference,
        "interferes_with": [met(one) for one in session_ids],
        **more,
    }


@pytest.fixture
def take(held):
    def take(*conflicts):
        payload = told(conflicts=[met(one) | {"shared": []} for one in conflicts])
        return held.take(EditSession(SimpleNamespace(), payload), "c1", owned=True)

    return take


def named(session):
    return [conflict.holder.session_id for conflict in session.conflicts]


def noted(changes):
    return [(change.conflict.holder.session_id, change.begins) for change in changes]


def test_conflict_is_reported_once_until_it_is_over(held, take):
    session = take()
    assert session.interference == "none"
    assert noted(held.interfering(begins("o1", shared=["Pad"]))) == [("o1", True)]
    assert held.interfering(begins("o1", shared=["Pad"])) == []
    [conflict] = session.conflicts
    assert (conflict.holder.person, conflict.shared) == ("bob (Bob Noyce)", ("Pad",))
    assert session.interference == "soft"
    assert noted(held.resolved(over("o1"))) == [("o1", False)]
    assert held.resolved(over("o1")) == []
    assert (session.conflicts, session.interference) == ([], "none")


def test_events_of_unknown_sessions_are_ignored(held, take):
    session = take()
    assert held.interfering(begins("o1", of="another window's")) == []
    assert held.resolved(over("o1", of="another window's")) == []
    assert named(session) == []


def test_events_that_overtake_the_answer_count(held, take):
    held.interfering(begins("o2"))
    held.resolved(over("o1"))
    assert named(take("o1")) == ["o2"]


def test_event_keeps_the_details_of_the_answer(held):
    held.interfering(begins("o1", shared=["Pad"]))
    payload = told(conflicts=[met("o1") | {"shared": [], "note": "until Friday"}])
    [conflict] = held.take(EditSession(SimpleNamespace(), payload), "c1", owned=True).conflicts
    assert (conflict.holder.note, conflict.shared) == ("until Friday", ("Pad",))


def test_stream_open_updates_conflicts(held, take, monkeypatch):
    session = take("o1")
    # As long ago as an event that has no answer under way.
    monkeypatch.setattr(conflicts, "OVERTAKEN_SECONDS", 0)
    assert noted(held.opened("c2", [listed("o2")])) == [("o2", True), ("o1", False)]
    assert named(session) == ["o2"]
    assert noted(held.opened("c3", [listed()])) == [("o2", False)]


def test_an_event_that_overtook_the_list_counts_more(held, take):
    session = take("o1")
    held.resolved(over("o1"))
    held.interfering(begins("o2"))
    assert held.opened("c2", [listed("o1")]) == []
    assert named(session) == ["o2"]


def test_where_events_were_missed_the_list_counts(held, take):
    session = take()
    held.interfering(begins("o1"))
    held.missed()
    [doubt] = held.unconfirmed.values()
    assert noted(held.confirm(session, doubt, listed("o2"))) == [("o2", True), ("o1", False)]


@pytest.mark.parametrize(
    "unknown",
    [TOLD, listed(interference=None), listed(interference="soft")],
    ids=["an older server", "not compared", "not all named"],
)
def test_a_list_that_does_not_say_it_changes_nothing(held, take, unknown):
    session = take("o1")
    assert held.opened("c2", [unknown]) == []
    assert named(session) == ["o1"]


def test_a_list_that_names_as_many_as_it_may_takes_none_away(held, take):
    session = take("o1")
    held.opened("c2", [listed(*(f"n{number}" for number in range(conflicts.LISTED)))])
    assert len(session.conflicts) == conflicts.LISTED + 1


def test_conflict_events_are_forgotten_with_the_session_and_bounded(held, take, monkeypatch):
    monkeypatch.setattr(conflicts, "REMEMBERED", 2)
    for number in range(3):
        held.interfering(begins("o", of=f"other {number}"))
    assert list(held._conflict_events._heard) == ["other 1", "other 2"]
    held.ended("other 1", "released")
    assert list(held._conflict_events._heard) == ["other 2"]
    assert held.interfering(begins("o", of="other 1")) == []
    assert list(held._conflict_events._heard) == ["other 2"]
