"""Two writers at once, as two server processes have them: their sets meet on the same items, workstations and rows."""

import uuid
from typing import Any

import pytest

from sessions_app.errors import DomainError
from sessions_app.models import EditSession
from sessions_app.models.ended_session import Record
from sessions_app.models.results import Acquired, Wanted
from sessions_app.operations.acquire import acquire_set
from sessions_app.operations.facts import Acquire
from sessions_app.operations.release import Release, release_set
from tests.factories import acquire, make_item, make_user, make_workstation
from tests.integration import interleaving

PAIRS = [
    ("acquires", "acquires_in_opposite_order"),
    ("acquires", "releases"),
    ("releases", "acquires_in_opposite_order"),
    ("releases", "releases_in_opposite_order"),
    # A refresh touches all that its workstations hold, on items that it does not lock.
    ("refreshes", "releases_elsewhere"),
    ("releases_elsewhere", "refreshes"),
]


class World:
    """Two workstations with a session each on two items, and one elsewhere; four that want the same two items."""

    def __init__(self) -> None:
        self.items = [make_item(f"A-{uuid.uuid4()}") for _ in range(2)]
        elsewhere = [make_item(f"B-{uuid.uuid4()}") for _ in range(2)]
        self.holders = [self._workstation() for _ in range(2)]
        self.others = [self._workstation() for _ in range(4)]
        pairs = list(zip(self.holders, self.items, strict=True))
        self.held = [acquire(one, item, "held").session for one, item in pairs]
        self.elsewhere = [
            acquire(one, item).session for one, item in zip(self.holders, elsewhere, strict=True)
        ]

    def _workstation(self) -> Any:
        return make_workstation(make_user(f"user-{uuid.uuid4()}"))

    def _wants(self, workstation: Any, number: int, *objects: str) -> Acquire:
        part_number = self.items[number].part_number
        wanted = [Wanted(part_number, "sketch", name) for name in objects]
        return Acquire(workstation.user, workstation.pk, wanted)

    def _lets_go(self, session: Any) -> Release:
        return Release(session.user, [session.pk], session.item.part_number)

    # -- what can happen --

    def acquires(self) -> Any:
        first, second, *_ = self.others
        return acquire_set([self._wants(first, 0, "new"), self._wants(second, 1, "held", "new")])

    def acquires_in_opposite_order(self) -> Any:
        *_, third, fourth = self.others
        return acquire_set([self._wants(third, 1, "new"), self._wants(fourth, 0, "held", "new")])

    def refreshes(self) -> Any:
        return acquire_set(
            [self._wants(one, number, "held") for number, one in enumerate(self.holders)]
        )

    def releases(self) -> Any:
        return release_set([self._lets_go(one) for one in self.held])

    def releases_in_opposite_order(self) -> Any:
        return release_set([self._lets_go(one) for one in reversed(self.held)])

    def releases_elsewhere(self) -> Any:
        return release_set([self._lets_go(one) for one in reversed(self.elsewhere)])

    # -- afterwards --

    def check(self, happened: set[str], results: list[Any]) -> None:
        """Nobody got an error of the database, each lock has one holder, and each session ended once."""
        outcomes = [outcome for some in results for outcome in some]
        granted = [
            one.session
            for outcome in outcomes
            if not isinstance(outcome, DomainError)
            for one in outcome
            if isinstance(one, Acquired) and not one.existing
        ]
        locks = [(one.item_id, one.object_id) for one in granted]
        assert len(locks) == len(set(locks))
        ended = [
            record.session_id
            for outcome in outcomes
            if not isinstance(outcome, DomainError)
            for record in outcome
            if isinstance(record, Record)
        ]
        assert len(ended) == len(set(ended))
        # Whoever was given a session holds it, and nobody else's was lost.
        before = {one.pk for one in (*self.held, *self.elsewhere)}
        there = {one.pk for one in granted} | (before - set(ended))
        assert set(EditSession.objects.values_list("pk", flat=True)) == there
        if happened == {"acquires", "acquires_in_opposite_order"}:
            # Of the two that want an item one has it. What is held is in the way of both batches.
            assert [type(one).__name__ for one in outcomes].count("list") == 2
        if "releases" in happened:
            assert set(ended) == {one.pk for one in self.held}
        if "releases_elsewhere" in happened:
            assert set(ended) == {one.pk for one in self.elsewhere}


@pytest.mark.parametrize(("first", "second"), PAIRS)
@pytest.mark.usefixtures("quickly_committed_db")
def test_one_set_at_every_statement_of_another(first, second):
    interleaving.at_every_statement(World, first, second)
