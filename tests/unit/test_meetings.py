"""Whom sessions meet, put together from two sets of them."""

import random
import uuid
from itertools import product

import pytest

from sessions_app.interference import compare
from sessions_app.interference.compare import Compared, meetings

ITEM, OTHER_ITEM = uuid.uuid4(), uuid.uuid4()
ADA, BOB, CAROL = (uuid.uuid4() for _ in range(3))


def session(workstation=ADA, keys="", object_id="X", item=ITEM):
    return Compared(uuid.uuid4(), item, workstation, object_id, keys.split())


def shared(one, other):
    """The shared node keys as the definition says it, or None if they do not meet."""
    if one.item_id != other.item_id or one.workstation_id == other.workstation_id:
        return None
    both = [key for key in other.node_keys if key in one.node_keys]
    return both if both or not (one.object_id and other.object_id) else None


def test_it_is_what_the_definition_says():
    dice = random.Random(4)
    for _ in range(200):
        ones, others = (
            [
                session(
                    dice.choice([ADA, BOB, CAROL]),
                    " ".join(dice.sample("abcdef", dice.randint(0, 3))),
                    dice.choice(["", "X", "Y"]),
                    dice.choice([ITEM, OTHER_ITEM]),
                )
                for _ in range(dice.randint(0, 6))
            ]
            for _ in range(2)
        )
        expected = {
            (one.id, other.id): both
            for one, other in product(ones, others)
            if (both := shared(one, other)) is not None
        }
        found = meetings(ones, others)
        assert {(one, other): list(both) for one, other, both in found} == expected
        assert [(a.int, b.int) for a, b, _ in found] == sorted((a.int, b.int) for a, b in expected)


@pytest.mark.parametrize("object_id", ["X", ""])
@pytest.mark.parametrize("most", [1, 7, 40])
def test_there_are_so_many_at_most_and_everybody_who_meets_has_one(monkeypatch, most, object_id):
    monkeypatch.setattr(compare, "MAX_MEETINGS", most)
    ones = [session(ADA, "a b", object_id) for _ in range(20)]
    others = [session(BOB, "b c") for _ in range(30)]
    found = meetings(ones, others)
    assert len(found) == max(20, most // 20 * 20)
    assert {meeting.session_id for meeting in found} == {one.id for one in ones}


def test_shared_node_keys_are_bounded(monkeypatch):
    monkeypatch.setattr(compare, "MAX_SHARED", 100)
    keys = [f"n{number}" for number in range(60)]
    few = meetings([session(ADA, " ".join(keys))], [session(BOB, " ".join(keys))])
    assert [meeting.shared for meeting in few] == [keys]
    many = meetings(
        [session(ADA, " ".join(keys))], [session(BOB, " ".join(keys)) for _ in range(4)]
    )
    assert [meeting.shared for meeting in many] == [keys[:25]] * 4
