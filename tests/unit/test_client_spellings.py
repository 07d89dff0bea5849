"""The client knows a part again, in whichever spelling it was asked for."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app import text
from silo_client.common.obligations import Obligations
from silo_client.common.part_numbers import folded, name_key
from silo_client.data import Lock
from silo_client.sessions.held import HeldSessions
from tests.unit.told import told


@given(st.text())
def test_client_and_server_fold_part_numbers_alike(number):
    number = text.without_refused(number)
    assert name_key(number) == text.name_key(number)
    assert folded(number) == text.folded(number)


def named(part_number):
    return told(object_id="", part_number=part_number)


@pytest.mark.parametrize("asked", ["gehäuse  7", "GEHA\u0308USE\u00a07"])
def test_locks_are_equal_in_all_spellings(asked):
    assert Lock(asked, "sketch") == Lock.from_payload(named("Gehäuse 7"))
    assert str(Lock.from_payload(named("Gehäuse 7"))) == "Gehäuse 7 / sketch"
    assert len({Lock(asked, "sketch"), Lock("Gehäuse 7", "sketch")}) == 1
    obligations = Obligations()
    obligations.apply({"ask": [(asked, "sketch", "")]})
    assert Lock.from_payload(named("Gehäuse 7")) in obligations.wanted
    obligations.apply({"answered": [("Gehäuse 7", "sketch", "")]})
    assert not obligations.wanted


def test_a_turn_is_known_in_another_spelling_and_under_another_name():
    held = HeldSessions(lambda: True)
    held.granted(named("Part-1"))
    now = time.monotonic()
    assert held.granted_for(Lock("PART-1", "sketch"), now)
    assert not held.granted_for(Lock("Old-1", "sketch"), now)
    assert held.granted_for(Lock("Old-1", "sketch"), now, "i1")
    assert not held.granted_for(Lock("Old-1", "assembly"), now, "i1")
    assert not held.granted_for(Lock("Old-1", "sketch"), now, "i2")
