"""What an append notifies is read back as it was, in parts that PostgreSQL takes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events_app.log.notification import MOST_PORTIONS, PORTION_BYTES, UNTOLD, Notification, portions

# PostgreSQL's limit.
MOST_BYTES = 7_999

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0\x1e\x1f"), max_size=40)
channels = st.lists(texts, max_size=4)
data = st.one_of(texts, st.integers(0, 3_000).map(lambda size: "ä" * size))
entries = st.lists(
    st.tuples(channels, st.sampled_from([(), ("a",), ("a", "b"), ("=",), ("",)]), texts, data),
    min_size=1,
    max_size=60,
)


def read_back(told, first: int, last: int):
    """Give portions the heads that an append gives them, and read them as a relay does."""
    for before, content in told:
        head = f"deadbeef {first + before - 1 if before else last} {first + before}"
        text = head + content
        assert len(text.encode()) <= MOST_BYTES
        notification = Notification.read(text)
        assert notification is not None
        assert notification.last == (first + before - 1 if before else last)
        yield from notification.entries


@given(entries, st.integers(1, 10**17), st.integers(0, 100))
def test_entries_come_back_as_they_were(given_entries, first, gap):
    told = portions(given_entries)
    if told == UNTOLD:
        assert sum(len(one[3].encode()) for one in given_entries) > MOST_PORTIONS * 1_000
        return
    read = list(read_back(told, first, first - 1 - gap))
    assert [one.id for one in read] == [first + number for number in range(len(given_entries))]
    assert [(list(one.channels), list(one.shared), one.type, one.data) for one in read] == [
        (list(own), list(shared), name, text) for own, shared, name, text in given_entries
    ]


@given(st.sampled_from("\x1e\x1f"), st.integers(0, 4), st.integers(0, 3))
def test_a_text_with_a_separator_is_not_told(separator, at, field):
    some = [[["a"], ("b",), "type", "{}"] for _ in range(5)]
    some[at][field] = ["a", f"c{separator}", "d"] if field < 2 else f"before{separator}behind"
    assert portions([tuple(one) for one in some]) == UNTOLD


def test_what_is_too_large_is_not_told():
    assert portions([(["a"], (), "type", "x" * PORTION_BYTES)]) == UNTOLD
    many = [(["a"], (), "type", "x" * (PORTION_BYTES // 2))] * (MOST_PORTIONS + 1)
    assert len(portions(many[:-1])) == MOST_PORTIONS
    assert portions(many) == UNTOLD


@pytest.mark.parametrize(
    "text",
    ["", "hello", "deadbeef 1", "deadbeef 1 2 3", "deadbeef 1 -2", "deadbeef 1 2\x1ea\x1fb", "1 2"],
)
def test_a_text_of_another_version_is_not_told(text):
    assert Notification.read(text) is None


def test_channels_that_follow_each_other_are_named_once():
    own, shared = ["all", "item:1"], [f"workstation:{number}" for number in range(50)]
    ((_, content),) = portions([(own, shared, "type", "{}")] * 100)
    assert content.count("item:1") == content.count("workstation:7") == 1
