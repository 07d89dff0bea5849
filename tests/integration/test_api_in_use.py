"""Who holds and who waits for many items, in one answer with the cursor of the events after it."""

import pytest

from events_app.log import event_log
from sessions_app import operations
from sessions_app.api import in_use
from sessions_app.models import PlaceInLine
from tests.factories import (
    A_TIME,
    acquire,
    api_of,
    counts,
    identity_of,
    let_go,
    make_item,
    stand,
)

pytestmark = pytest.mark.django_db

URL = "/api/edit-sessions/in-use"


@pytest.fixture
def ask(ada):
    def ask(*part_numbers):
        answer = api_of(ada.user)("POST", URL, {"items": part_numbers})
        assert answer.status_code == 200, answer.content
        return answer.json()

    return ask


def objects(entry):
    return [one["object_id"] for one in entry["sessions"]]


def test_holders_and_lines_of_each_item_are_named(ask, ada, bob, carol, item):
    other = make_item("DIN 912/M5")
    held = acquire(ada, item, "A", cone=("n1",)).session
    acquire(bob, item, "B")
    stand(bob, item, "A")
    stand(carol, item, "A")
    before = counts()
    told = ask("DIN 912/M5", "A01-0001")
    assert counts() == before
    free, used = told["items"]
    assert (free["part_number"], free["item_id"]) == ("DIN 912/M5", str(other.pk))
    assert (free["sessions"], free["requests"], free["complete"]) == ([], [], True)
    assert used["asked"] == ["A01-0001"]
    assert objects(used) == ["A", "B"]
    assert identity_of(held).items() <= used["sessions"][0].items()
    assert "dependency_cone" not in used["sessions"][0]
    assert [(one["user"], one["position"]) for one in used["requests"]] == [
        ("bob", 1),
        ("carol", 2),
    ]
    assert (told["unknown"], told["left"]) == ([], [])
    assert told["cursor"] == str(event_log.state().head)


def test_unknown_items_are_named_and_the_others_answered(ask, ada, item):
    acquire(ada, item, "A")
    told = ask("none", "A01-0001", "none", "nor this")
    assert told["unknown"] == ["none", "nor this"]
    assert [objects(one) for one in told["items"]] == [["A"]]


def test_spellings_and_former_numbers_of_one_item_are_answered_once(ask, ada, item):
    operations.items.rename("A01-0001", "B01-0001")
    operations.items.retire([item.pk])
    told = ask("b01-0001", "A01-0001", "B01-0001")
    [one] = told["items"]
    assert one["asked"] == ["b01-0001", "A01-0001", "B01-0001"]
    assert (one["part_number"], one["retired_at"]) == ("B01-0001", A_TIME)


def test_what_has_no_room_is_left_for_another_request(ask, ada, bob, item, monkeypatch):
    monkeypatch.setattr(in_use, "MOST", 3)
    others = [make_item(f"B-{number}") for number in range(2)]
    for one in (item, *others):
        acquire(ada, one, "A")
        stand(bob, one, "A")
    told = ask("A01-0001", "B-0", "B-1")
    assert [one["part_number"] for one in told["items"]] == ["A01-0001"]
    assert told["left"] == ["B-0", "B-1"]


def test_an_item_with_too_many_is_answered_alone_with_the_first(ask, ada, item, monkeypatch):
    monkeypatch.setattr(in_use, "MOST", 2)
    make_item("B-0")
    for name in "ABCD":
        acquire(ada, item, name)
    told = ask("A01-0001", "B-0")
    [one] = told["items"]
    assert (objects(one), one["complete"]) == (["A", "B"], False)
    assert told["left"] == ["B-0"]


def test_number_of_queries_is_fixed(ask, ada, bob, django_assert_max_num_queries):
    numbers = []
    for number in range(12):
        made = make_item(f"B-{number}")
        acquire(ada, made, "A")
        stand(bob, made, "A")
        numbers.append(made.part_number)
    with django_assert_max_num_queries(14):
        told = ask(*numbers)
    assert len(told["items"]) == 12
    assert PlaceInLine.objects.count() == 12


def test_events_from_its_cursor_on_are_those_after_it(ask, ada, item):
    held = acquire(ada, item, "A").session
    cursor = ask("A01-0001")["cursor"]
    let_go(held.pk)
    assert event_log.state().resume(cursor) is not None
    assert objects(ask("A01-0001")["items"][0]) == []
    assert ask("A01-0001")["cursor"] != cursor


@pytest.mark.parametrize("items", [[], ["a\x00b"], [""], ["x"] * 1001, "A01-0001", None])
def test_lists_that_are_none_are_refused(ada, items):
    answer = api_of(ada.user)("POST", URL, {"items": items})
    assert (answer.status_code, answer.json()["error"]) == (422, "invalid")
