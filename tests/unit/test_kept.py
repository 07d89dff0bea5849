"""What is found by headers is kept for short ones only: anybody can send others, before any credentials are asked."""

import pytest

from events_app.http.kept import MOST_BYTES, MOST_HEADERS, MOST_KEPT, kept
from sessions_app import credentials

USUAL = ((b"host", b"silo"), (b"authorization", b"Bearer silo_" + b"a" * 43))


@pytest.fixture
def asked():
    return []


@pytest.fixture
def find(asked):
    @kept
    def find(headers):
        asked.append(headers)
        return len(headers)

    return find


def test_usual_headers_are_looked_at_once(find, asked):
    assert [find(USUAL), find(USUAL)] == [2, 2]
    assert asked == [USUAL]


@pytest.mark.parametrize(
    "headers",
    [
        ((b"authorization", b"a" * MOST_BYTES),),
        tuple((b"%d" % number, b"") for number in range(MOST_HEADERS + 1)),
    ],
)
def test_long_or_many_headers_are_not_kept(find, asked, headers):
    assert [find(headers), find(headers)] == [len(headers)] * 2
    assert asked == [headers] * 2


def test_others_push_out_the_oldest(find, asked):
    for number in range(MOST_KEPT + 1):
        find(((b"host", b"%d" % number),))
    find(((b"host", b"0"),))
    assert len(asked) == MOST_KEPT + 2


def test_a_text_that_cannot_be_a_token_is_not_kept():
    before = credentials._hashed.cache_info().currsize
    for size in (42, 44, 15_000):
        assert credentials.known("silo_" + "a" * size) is None
    assert credentials._hashed.cache_info().currsize == before
