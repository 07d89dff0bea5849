"""Every pair of what can happen to a workstation at the same moment, in every interleaving."""

import uuid
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db.models import Value
from django.db.models.functions import Now

from events_app.models import Connection, ServerProcess
from events_app.presence import clean_up, store
from events_app.presence.server_processes import ProcessIdentity
from events_app.presence.store import Arrival, Departure
from sessions_app import operations
from sessions_app.errors import HardInterference, NotConnected, NotFound
from sessions_app.models import EditSession, EndedSession
from tests.factories import acquire, clean_up_one, let_go, make_item, make_user, make_workstation
from tests.integration import interleaving

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


class Stream(Arrival):
    """A stream that counts as opened when it is inserted, so that the order of the locks can be read off it."""

    age = 0.0


class World:
    """A workstation with a session and a stream, a bystander, and the server processes it takes."""

    def __init__(self, happening: set[str], users: Sequence[Any]) -> None:
        self.item = make_item(f"A-{uuid.uuid4()}")
        self.ours, self.theirs = map(make_workstation, users)
        self.living, self.dead, self.leaving = (ProcessIdentity() for _ in range(3))
        self.stream = Stream(uuid.uuid4(), self.ours.pk, ack=True)
        # Older streams of the same workstation, on servers that it has changed from.
        if "clean_up" in happening:
            store.register(self.dead, [Stream(uuid.uuid4(), self.ours.pk)])
        if "stop_of_server" in happening:
            store.register(self.leaving, [Stream(uuid.uuid4(), self.ours.pk)])
        store.register(self.living, [self.stream, Stream(uuid.uuid4(), self.theirs.pk)])
        ServerProcess.objects.filter(pk=self.dead.id).update(last_beat=Now() - Value(HOUR))
        self.session = acquire(self.ours, self.item, "held").session
        EditSession.objects.update(last_heartbeat=Now() - Value(HOUR))

    # -- what can happen --

    def arrival(self) -> Any:
        return store.arrive(self.living, [Stream(uuid.uuid4(), self.ours.pk)])

    def departure(self) -> Any:
        change = Departure(self.stream.connection_id, self.ours.pk, by_client=True)
        return store.depart(self.living, [change])

    def acquire(self) -> Any:
        return acquire(self.ours, self.item, "wanted", connection_id=self.stream.connection_id)

    def acquire_by_other(self) -> Any:
        return acquire(self.theirs, self.item, "held")

    def release(self) -> Any:
        return let_go(self.session.pk)

    def sweep(self) -> Any:
        return EditSession.objects.expire_stale(MINUTE)

    def heartbeat(self) -> Any:
        return store.touch(self.living, [self.ours.pk], [self.stream.connection_id])

    def alive(self) -> Any:
        return operations.alive.alive(self.ours.user, self.ours.pk)

    def clean_up(self) -> Any:
        return clean_up_one(MINUTE)

    def stop_of_server(self) -> Any:
        return clean_up.unregister(self.leaving)

    # -- what must hold afterwards --

    def check(self, happened: set[str], results: list[Any]) -> None:
        for result in results:
            if isinstance(result, Exception):
                assert isinstance(result, HardInterference | NotConnected | NotFound), result
        interleaving.check_each_end([self.item.pk])
        self._check_presence(happened)

    def _check_presence(self, happened: set[str]) -> None:
        connected = Connection.objects.filter(key=self.ours.pk).exists()
        ended = EndedSession.objects.filter(session_id=self.session.pk).first()
        reason = ended.reason if ended else None
        # Whom a server that was stopped still stood for is waited for.
        if not connected and "departure" in happened and "stop_of_server" not in happened:
            assert not EditSession.objects.filter(workstation=self.ours).exists(), (
                "an orphaned lock"
            )
        if reason == "disconnected":
            assert "departure" in happened, "a live lock was lost"
            here = Connection.objects.filter(key=self.ours.pk, opened_at__lt=ended.released_at)
            assert not here.exists(), "a live lock was lost"
        if not happened & {"departure", "release", "sweep"}:
            assert reason is None, "ended for nothing"


ACTORS = [
    "arrival",
    "departure",
    "acquire",
    "acquire_by_other",
    "release",
    "sweep",
    "heartbeat",
    "alive",
    "clean_up",
    "stop_of_server",
]


@pytest.mark.parametrize("first", ACTORS)
@pytest.mark.usefixtures("quickly_committed_db")
def test_every_other_at_every_statement_of(first, subtests):
    users = [make_user(name) for name in ("ada", "bob")]
    for second in ACTORS:
        if second != first:
            with subtests.test(second=second):
                interleaving.at_every_statement(
                    partial(World, {first, second}, users), first, second
                )
