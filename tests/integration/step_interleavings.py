"""What can happen while a departure that has more to end than one step is between two of its steps."""

import uuid
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from django.db.models import Q

from events_app.presence import store
from events_app.presence.server_processes import ProcessIdentity
from events_app.presence.store import Arrival, Departure
from sessions_app import operations
from sessions_app.errors import DomainError, HardInterference
from sessions_app.models import EditSession, PlaceInLine, Workstation
from sessions_app.models.results import Wanted
from tests.factories import acquire, grant_what_is_free, let_go, make_item, make_workstation, stand
from tests.integration import interleaving

STEP = 1
SESSIONS = 3
NO_GRACE = timedelta(0)
SIGNS_OF_LIFE = {"arrival", "acquire", "alive", "take_over"}


class World:
    """A workstation that leaves three sessions and a place in line, and another that waits for one of the three."""

    def __init__(self, happening: set[str], users: Sequence[Any]) -> None:
        self.item, self.other_item = (make_item(f"A-{uuid.uuid4()}") for _ in range(2))
        self.ours, self.theirs = (make_workstation(user) for user in users)
        self.process = ProcessIdentity()
        self.stream = Arrival(uuid.uuid4(), self.ours.pk)
        their_stream = Arrival(uuid.uuid4(), self.theirs.pk)
        store.register(self.process, [self.stream, their_stream])
        items = [self.item, self.other_item]
        wanted = [Wanted(items[n % 2].part_number, "sketch", f"{n}") for n in range(SESSIONS)]
        got = operations.acquire.acquire_all(self.ours.user, self.ours.pk, wanted)
        self.held = [acquired.session for acquired in got]
        self.wanted = acquire(self.theirs, self.item, "theirs").session
        stand(self.ours, self.item, "theirs")
        stand(self.theirs, self.held[1].item, self.held[1].object_id)
        self.departed_before = "departure" not in happening
        if self.departed_before:
            assert self.departure()
        self.before = set(self._records().values_list("session_id", flat=True))

    # -- what can happen --

    def departure(self) -> Any:
        change = Departure(self.stream.connection_id, self.ours.pk, by_client=True)
        return store.depart(self.process, [change])

    def rest(self) -> Any:
        return operations.presence.end_grace(NO_GRACE, 500)

    def rest_elsewhere(self) -> Any:
        return operations.presence.end_grace(NO_GRACE, 500)

    def arrival(self) -> Any:
        return store.arrive(self.process, [Arrival(uuid.uuid4(), self.ours.pk)])

    def acquire(self) -> Any:
        return acquire(self.ours, self.other_item, "new")

    def alive(self) -> Any:
        return operations.alive.alive(self.ours.user, self.ours.pk)

    def take_over(self) -> Any:
        return operations.handoff.take_over(
            self.ours.user, self.wanted.pk, self.ours.pk, "it is needed"
        )

    def release_of_all(self) -> Any:
        return operations.release.release_all(self.ours.pk)

    def release_of_many(self) -> Any:
        ids = [session.pk for session in self.held]
        return operations.release.release_many(self.ours.user, ids)

    def their_release(self) -> Any:
        return let_go(self.wanted.pk)

    def turn(self) -> Any:
        return grant_what_is_free(10)

    def deletion(self) -> Any:
        return operations.workstations.delete([self.ours.pk])

    # -- what must hold afterwards --

    def check(self, happened: set[str], results: list[Any]) -> None:
        for result in results:
            assert not isinstance(result, Exception) or isinstance(result, DomainError), result
            assert not isinstance(result, HardInterference), result
        came_back = bool(happened & SIGNS_OF_LIFE) and "deletion" not in happened
        interleaving.check_each_end(self._items)
        if came_back and self.departed_before:
            self._check_nothing_ended_after(happened)
        while operations.presence.end_grace(NO_GRACE, 500):
            pass
        grant_what_is_free(10)
        interleaving.check_each_end(self._items)
        sessions = EditSession.objects.filter(workstation=self.ours)
        if not came_back:
            assert not sessions.exists(), "an orphaned lock"
            assert not PlaceInLine.objects.filter(workstation=self.ours).exists(), "place kept"
            assert EditSession.objects.filter(workstation=self.theirs, object_id="1").exists()
        elif self.departed_before:
            self._check_nothing_ended_after(happened)

    def _records(self) -> Any:
        return interleaving.records_of(self._items)

    @property
    def _items(self) -> list[Any]:
        return [self.item.pk, self.other_item.pk]

    def _check_nothing_ended_after(self, happened: set[str]) -> None:
        """Where its client had come back nothing ended as if it were away; at most one step did before."""
        ended = self._records().exclude(session_id__in=self.before).filter(reason="disconnected")
        assert ended.count() <= STEP
        ours = EditSession.objects.filter(workstation=self.ours)
        new = Q(object_id="new") | Q(object_id="theirs")
        back = list(ours.filter(new).values_list("acquired_at", flat=True))
        if happened & {"arrival", "alive"}:
            back.append(Workstation.objects.get(pk=self.ours.pk).last_seen)
        assert back, "it has lost what it got when it came back"
        assert not ended.filter(released_at__gt=min(back)).exists(), "a live lock was lost"
        assert ours.filter(new).exists() or not happened & {"acquire", "take_over"}
        assert Workstation.objects.get(pk=self.ours.pk).away_since is None


ACTORS = [name for name in vars(World) if not name.startswith(("_", "check"))]


def interleave(first: str, second: str, users: Sequence[Any]) -> None:
    """Hold the first before each of its statements in turn."""
    interleaving.at_every_statement(partial(World, {first, second}, users), first, second)
