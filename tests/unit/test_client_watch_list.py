"""Watching items, the program's end: what `watch` and the callback are told of the helper's messages."""

import time

import pytest

from silo_client import ClosedError, InvalidRequestError, within
from silo_client.watching import WatchList


@pytest.fixture
def watching():
    sent, calls, told = [], [], []
    made = WatchList(
        lambda watch: sent.append(watch),
        lambda name, call: calls.append(call) is None,
        lambda: lambda picture, changed: told.append((picture, changed)),
    )
    made.sent, made.calls, made.told = sent, calls, told
    return made


def state(*holders):
    return {
        "part_number": "P",
        "retired_at": None,
        "complete": True,
        "sessions": [
            {"session_id": one, "user": one, "workstation": {"id": "w", "name": "n"}}
            for one in holders
        ],
        "requests": [],
    }


def tell(watching, number, *holders, **more):
    watching.hear({"watched": {"number": number, "items": {"P": state(*holders)}, **more}})


def test_a_late_callback_is_told_the_latest_picture_once(watching):
    watching.watch(["P"], 0)
    tell(watching, 1, stale="")
    tell(watching, 1, "s1", stale="")
    tell(watching, 1, "s1", "s2", stale="")
    tell(watching, 1, "s1", "s2", stale="")
    [call] = watching.calls
    call()
    [(picture, changed)] = watching.told
    assert changed == ("P",)
    assert [one.session_id for one in picture.items["P"].holders] == ["s1", "s2"]


def test_after_a_callback_the_next_change_is_told_by_another_one(watching):
    watching.watch(["P"], 0)
    for number in range(3):
        tell(watching, 1, f"s{number}", stale="")
        watching.calls[number]()
    assert len(watching.told) == 3


def test_a_call_that_is_refused_or_lost_is_made_again(watching, monkeypatch):
    answers = [False, True, True]
    monkeypatch.setattr(
        watching, "_call", lambda name, call: watching.calls.append(call) or answers.pop(0)
    )
    watching.watch(["P"], 0)
    for number in range(3):
        tell(watching, 1, f"s{number}", stale="")
    assert len(watching.calls) == 2
    monkeypatch.setattr("silo_client.watching.UNDELIVERED_SECONDS", 0.0)
    tell(watching, 1, "s4", stale="")
    assert len(watching.calls) == 3
    watching.calls[-1]()
    assert len(watching.told) == 1


def test_without_a_callback_nothing_is_queued():
    calls = []
    made = WatchList(lambda watch: None, lambda name, call: calls.append(call), lambda: None)
    made.watch(["P"], 0)
    tell(made, 1, "s1", stale="")
    made.hear({"died": 1, "why": "", "final": False})
    assert calls == []


def test_messages_of_an_earlier_set_are_dropped(watching):
    watching.watch(["P"], 0)
    watching.watch(["P"], 0)
    tell(watching, 1, "s1", stale="")
    assert dict(watching.picture.items) == {}
    assert watching.picture.stale
    tell(watching, 2, "s1", stale="")
    assert not watching.picture.stale


def test_another_helper_is_told_the_set_and_the_picture_is_stale_until_then(watching):
    watching.hear({"started": 1})
    assert watching.sent == []
    watching.watch(["P"], 0)
    tell(watching, 1, "s1", stale="")
    watching.hear({"died": -9, "why": "", "final": False})
    assert watching.picture.stale == "The helper process has ended."
    assert "P" in watching.picture.items
    watching.hear({"started": 2})
    assert watching.sent == [{"number": 1, "items": ["P"]}] * 2
    tell(watching, 1, "s1", stale="")
    assert not watching.picture.stale


def test_a_closed_workstation_watches_no_more(watching):
    watching.watch(["P"], 0)
    tell(watching, 1, "s1", stale="")
    watching.close()
    assert watching.picture.stale == "The workstation was closed."
    tell(watching, 1, "s2", stale="")
    assert [one.session_id for one in watching.picture.items["P"].holders] == ["s1"]
    for call in watching.calls:
        call()
    assert watching.told == []
    with pytest.raises(ClosedError):
        watching.watch(["Q"], 0)


def test_a_time_limit_holds_for_the_wait_too(watching):
    began = time.monotonic()
    with within(0.05):
        assert watching.watch(["P"], 20).stale
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("bad", ["A01-0001", b"A01", [1], [None]])
def test_what_is_no_list_of_texts_is_refused_and_changes_nothing(watching, bad):
    watching.watch(["P"], 0)
    with pytest.raises(TypeError, match="part number"):
        watching.watch(bad, 0)
    assert len(watching.sent) == 1


def test_too_many_are_refused_and_change_nothing(watching):
    with pytest.raises(InvalidRequestError, match="at most 1,000 items, not 1,001"):
        watching.watch([str(number) for number in range(1001)], 0)
    assert watching.sent == []
    watching.watch(["P", "P"], 0)
    assert watching.sent == [{"number": 1, "items": ["P"]}]
