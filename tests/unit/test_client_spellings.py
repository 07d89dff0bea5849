"""The client knows a part again, in whichever spelling it was asked for."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app import text
from silo_client.common.obligations import Ledger, lock_of
from silo_client.common.part_numbers import folded, name_key
from silo_client.data import Lock
from silo_client.sessions.held import Holdings


@given(st.text())
def test_client_and_server_tell_part_numbers_apart_alike(number):
    number = text.without_refused(number)
    assert name_key(number) == text.name_key(number)
    assert folded(number) == text.folded(number)


def told(part_number, item_id="i1"):
    return {
        "session_id": "s1",
        "item_id": item_id,
        "part_number": part_number,
        "context_level": "sketch",
        "object_id": "",
    }


@pytest.mark.parametrize("asked", ["gehäuse  7", "GEHA\u0308USE\u00a07"])
def test_what_was_asked_for_is_what_the_server_tells(asked):
    assert Lock(asked, "sketch") == Lock.of(told("Gehäuse 7"))
    assert str(Lock.of(told("Gehäuse 7"))) == "Gehäuse 7 / sketch"
    assert len({Lock(asked, "sketch"), Lock("Gehäuse 7", "sketch")}) == 1
    ledger = Ledger()
    ledger.obey({"ask": [(asked, "sketch", "")]})
    assert lock_of(told("Gehäuse 7")) in ledger.wanted
    ledger.obey({"answered": [("Gehäuse 7", "sketch", "")]})
    assert not ledger.wanted


def test_a_turn_is_known_in_another_spelling_and_under_another_name():
    holdings = Holdings("w1", lambda: True)
    holdings.granted(told("Part-1"))
    now = time.monotonic()
    assert holdings.granted_for(Lock("PART-1", "sketch"), now)
    assert not holdings.granted_for(Lock("Old-1", "sketch"), now)
    assert holdings.granted_for(Lock("Old-1", "sketch"), now, "i1")
    assert not holdings.granted_for(Lock("Old-1", "assembly"), now, "i1")
    assert not holdings.granted_for(Lock("Old-1", "sketch"), now, "i2")
