"""What the engineers of `make demo` decide, and what is printed of it."""

from collections import Counter
from random import Random

import pytest

from demo import decisions, surroundings
from demo.bill import ASSEMBLY, DOCUMENT, PART, bill_of_materials
from demo.decisions import Outcome, choose_task
from demo.news import SUMMARY_SECONDS, News
from demo.people import person
from sessions_app.text import name_key, part_number_fault, text_fault

PARTS = bill_of_materials()
NUMBERS = [part.number for part in PARTS]
LEVELS = {"sketch", "partdesign", "assembly"}


def tasks(number, count, seed=1):
    rng = Random(f"{seed}/{number}")
    return [choose_task(person(number), done, PARTS, rng) for done in range(count)]


def test_the_bill_is_one_of_several_hundred_parts():
    kinds = Counter(part.kind for part in PARTS)
    assert 200 < len(PARTS) < 500
    assert kinds[PART] > kinds[ASSEMBLY] > 20 < kinds[DOCUMENT]
    assert len({name_key(number) for number in NUMBERS}) == len(PARTS)
    for part in PARTS:
        assert not part_number_fault(part.number)
        assert not text_fault(part.description)
    assert {"F20-1103-L", "F20-1103-R"} < set(NUMBERS)


def test_engineers_are_distinct_accounts_that_anybody_can_type():
    people = [person(number) for number in range(100)]
    assert len({one.user for one in people}) == len({one.machine for one in people}) == 100
    assert all(one.user.isascii() for one in people)


def test_three_neighbours_begin_with_the_same_lock_and_teams_with_others():
    first = [tasks(number, 1)[0] for number in range(30)]
    locks = [(task.part, task.level, task.object_id) for task in first]
    for team in range(10):
        assert len(set(locks[3 * team : 3 * team + 3])) == 1
    assert len(set(locks)) == 10
    assert [task.outcome for task in first[::3]][:4] == [
        *(Outcome.CRASH, Outcome.LOSE_NETWORK, Outcome.HAND_OVER),
        Outcome.CRASH,
    ]
    others = [task for number, task in enumerate(first) if number % 3]
    assert {task.outcome for task in others} == {Outcome.FINISH}
    # Somebody asks for the part that is to be handed over.
    assert first[7].ask
    assert decisions.hands_over(first[6], Random(1))


def test_the_same_seed_is_the_same_play():
    assert tasks(4, 20) == tasks(4, 20)
    assert tasks(4, 20) != tasks(4, 20, seed=2)


def test_tasks_are_locks_on_parts_of_the_bill_and_all_outcomes_come():
    done = [task for number in range(30) for task in tasks(number, 40)]
    assert {task.part for task in done} <= set(NUMBERS)
    assert {task.level for task in done} == LEVELS
    assert {task.outcome for task in done} == set(Outcome)
    assert any(task.ask for task in done)
    later = [task.outcome for number in range(30) for task in tasks(number, 40)[1:]]
    share = later.count(Outcome.CRASH) / len(later)
    assert 0 < share < 3 * decisions.CRASH_SHARE


def test_assemblies_are_locked_as_a_whole_and_parts_by_an_object():
    for kind, has_object in ((ASSEMBLY, False), (DOCUMENT, False), (PART, True)):
        part = next(part for part in PARTS if part.kind == kind)
        level, object_id = decisions.choose_lock(part, Random(1))
        assert level in LEVELS
        assert bool(object_id) is has_object


def test_a_holder_mostly_hands_over_but_not_always():
    task = next(task for task in tasks(1, 9)[1:] if task.outcome is Outcome.FINISH)
    rng = Random(1)
    assert {decisions.hands_over(task, rng) for _ in range(50)} == {True, False}


LOCK = {"part": "F20-1101", "level": "partdesign", "object": "Pad001"}
OF_SESSION = {
    "session_id": "s1",
    "part_number": "F20-1101",
    "context_level": "partdesign",
    "object_id": "Pad001",
    "user": "anna.bergmann",
    "user_name": "Anna Bergmann",
}


@pytest.fixture
def clock():
    return [100.0]


@pytest.fixture
def lines():
    return []


@pytest.fixture
def news(lines, clock):
    return News(lines.append, lambda: clock[0])


def test_the_end_of_a_crashed_session_is_told_with_how_long_it_took(news, lines, clock):
    news.told({"what": "crashes", "number": 0, "session": "s1", **LOCK})
    clock[0] += 0.2
    news.happened("edit.session_released", OF_SESSION | {"reason": "disconnected"})
    assert lines == [
        "Anna Bergmann's CAD CRASHES with F20-1101 / partdesign / Pad001 open",
        "    the server releases F20-1101 / partdesign / Pad001 of Anna Bergmann (disconnected), 0.2 s later",
    ]


def test_the_end_of_another_session_is_no_story(news, lines):
    news.happened("edit.session_released", OF_SESSION | {"reason": "released"})
    assert lines == []


def test_the_summary_counts_sessions_and_places(news, lines, clock):
    news.happened("sessions", {"sessions": [{"session_id": "s0"}]})
    news.happened("edit.session_acquired", OF_SESSION)
    waits = {"what": "waits", "number": 1, "position": 1, "holder": "Anna", "ask": ""}
    news.told(waits | LOCK)
    lines.clear()
    news.summary()
    assert lines == []
    clock[0] += SUMMARY_SECONDS
    news.summary()
    news.summary()
    assert lines == ["    edit sessions: 2, in line: 1"]


def test_text_of_others_stays_in_its_line(news, lines):
    news.told({"what": "fails", "number": 0, "error": "no\nroute {lock}"})
    assert len(lines) == 1
    assert "\n" not in lines[0]
    assert "{lock}" in lines[0]


@pytest.mark.parametrize("text", ["0", "101", "-1", "many", "1.5", "²"])
def test_a_number_of_engineers_that_cannot_work_is_refused(monkeypatch, text):
    monkeypatch.setenv("ENGINEERS", text)
    with pytest.raises(SystemExit, match="is not a number from 1 to 100"):
        surroundings.engineers()
