"""What can happen at the same moment around a line, and what must hold afterwards."""

import json
import uuid
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from itertools import pairwise
from typing import Any

from django.db.models import Value
from django.db.models.functions import Now

from events_app.models import Connection, LogEntry
from events_app.presence import store
from events_app.presence.server_processes import NotRegistered, ProcessIdentity
from events_app.presence.store import Arrival, Departure
from sessions_app import channels, operations
from sessions_app.errors import DomainError
from sessions_app.models import EditSession, EndedSession, PlaceInLine, Workstation
from sessions_app.models.results import Wanted
from tests.factories import (
    acquire,
    grant_what_is_free,
    let_go,
    make_item,
    make_user,
    make_workstation,
)
from tests.integration import interleaving

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


class World:
    """A holder, two who stand in line for its session, and somebody who does not."""

    def __init__(self, happening: set[str], users: Sequence[Any]) -> None:
        self.item, self.other_item = (make_item(f"A-{uuid.uuid4()}") for _ in range(2))
        self.holder, self.first, self.second, self.outsider = (
            make_workstation(user, name)
            for user, name in zip(users, ("holder", "first", "second", "outsider"), strict=True)
        )
        everybody = (self.holder, self.first, self.second, self.outsider)
        self.process = ProcessIdentity()
        self.streams = {w.pk: Arrival(uuid.uuid4(), w.pk) for w in everybody}
        store.register(self.process, list(self.streams.values()))
        self.session = acquire(self.holder, self.item, "held").session
        EditSession.objects.update(last_heartbeat=Now() - Value(HOUR))
        self.wanted = Wanted(self.item.part_number, "sketch", "held")
        for waiter in (self.first, self.second):
            self._stand(waiter)
        if happening & {"turn", "first_returns"}:
            # Everybody in line was away when it ended.
            self._depart(self.holder, by_client=False)
            Connection.objects.filter(key__in=[self.first.pk, self.second.pk]).delete()
            let_go(self.session.pk)
            self._arrive(self.second)
            self._arrive(self.holder)

    # -- what can happen --

    def release(self) -> Any:
        return let_go(self.session.pk)

    def force_release(self) -> Any:
        return operations.release.force_release(self.session.pk, by="root", note="why")

    def sweep(self) -> Any:
        return EditSession.objects.expire_stale(MINUTE)

    def holder_departs(self) -> Any:
        return self._depart(self.holder)

    def first_departs(self) -> Any:
        return self._depart(self.first)

    def all_depart(self) -> Any:
        return self._depart(self.holder, self.first, self.second)

    def first_leaves_the_line(self) -> Any:
        places = PlaceInLine.objects.filter(workstation=self.first)
        return [operations.line.step_out(place.pk) for place in places]

    def first_returns(self) -> Any:
        return self._arrive(self.first)

    def turn(self) -> Any:
        return grant_what_is_free(10)

    def outsider_acquires(self) -> Any:
        return acquire(self.outsider, self.item, "held")

    def outsider_stands(self) -> Any:
        return self._stand(self.outsider)

    def first_takes_a_batch(self) -> Any:
        wanted = [self.wanted, Wanted(self.other_item.part_number, "sketch")]
        return operations.acquire.acquire_all(self.first.user, self.first.pk, wanted)

    def hand_off_to_second(self) -> Any:
        return operations.handoff.hand_off(self.holder.user, self.session.pk, self.second.pk)

    def first_is_deleted(self) -> Any:
        return operations.workstations.delete([self.first.pk])

    def holder_is_idle(self) -> Any:
        return operations.alive.alive(self.holder.user, self.holder.pk, idle_seconds=60)

    def heartbeat(self) -> Any:
        with suppress(NotRegistered):
            return store.touch(self.process, list(self.streams), [])

    def new_epoch(self) -> Any:
        return operations.epoch.begin()

    def _stand(self, workstation: Workstation) -> Any:
        return operations.line.stand(workstation.user, workstation.pk, self.wanted)

    def _arrive(self, workstation: Workstation) -> Any:
        with suppress(NotRegistered):
            return store.arrive(self.process, [Arrival(uuid.uuid4(), workstation.pk)])

    def _depart(self, *workstations: Workstation, by_client: bool = True) -> Any:
        gone = [self.streams[workstation.pk] for workstation in workstations]
        changes = [Departure(one.connection_id, one.key, by_client) for one in gone]
        # A new epoch has removed the process: the presence would register it, and try again.
        with suppress(NotRegistered):
            return store.depart(self.process, changes)

    # -- what must hold afterwards --

    def check(self, happened: set[str], results: list[Any]) -> None:
        for result in results:
            assert not isinstance(result, Exception) or isinstance(result, DomainError), result
        self._check_log()
        lock = {"item": self.item, "context_level": "sketch", "object_id": "held"}
        holders = EditSession.objects.filter(**lock)
        assert len(holders) <= 1
        line = PlaceInLine.objects.filter(**lock).order_by("number")
        assert not line.filter(workstation__in=holders.values("workstation")).exists(), (
            "one waits for what one has"
        )
        # The next beat finds who was not there, or not free to be granted, at the end of the session.
        if happened & {"turn", "first_returns", "new_epoch"}:
            grant_what_is_free(10)
        if not holders.all().exists():
            assert not line.reachable().exists(), "free, and somebody waits for it"
        for workstation in (self.holder, self.first, self.second):
            if not Connection.objects.filter(key=workstation.pk).exists():
                departed = Workstation.objects.filter(pk=workstation.pk, departed_at__isnull=False)
                if departed.exists() and "new_epoch" not in happened:
                    assert not holders.filter(workstation=workstation).exists(), "orphaned"
                    assert not line.filter(workstation=workstation).exists(), "place kept"
        self._check_turn(happened)

    def _check_log(self) -> None:
        entries = LogEntry.objects.filter(
            channels__overlap=[channels.item(self.item.pk), channels.item(self.other_item.pk)]
        ).order_by("id")
        held: dict[tuple[str, ...], str] = {}
        tokens = []
        told = []
        for entry in entries:
            data = json.loads(entry.data)
            lock = (data["item_id"], data["context_level"], data["object_id"])
            if entry.type == "edit.session_acquired":
                assert lock not in held, "two holders"
                held[lock] = data["session_id"]
                if data["item_id"] == str(self.item.pk):
                    tokens.append(data["fencing_token"])
            elif entry.type == "edit.session_released":
                assert held.pop(lock) == data["session_id"]
                told.append(data["session_id"])
        assert all(a < b for a, b in pairwise(tokens)), "tokens do not grow"
        items = [self.item.pk, self.other_item.pk]
        records = EndedSession.objects.filter(item_id__in=items).values_list(
            "session_id", flat=True
        )
        assert sorted(told) == sorted(map(str, records)), "an end without its one record and event"
        active = EditSession.objects.filter(item__in=items).values_list("pk", flat=True)
        assert sorted(held.values()) == sorted(map(str, active))

    def _check_turn(self, happened: set[str]) -> None:
        granted = [
            json.loads(data)["workstation"]["id"]
            for data in LogEntry.objects.filter(
                type="edit.session_granted",
                channels__overlap=[channels.workstation(w) for w in self.streams],
            )
            .order_by("id")
            .values_list("data", flat=True)
        ]
        if "all_depart" not in happened:
            assert str(self.outsider.pk) not in granted[:1], "the outsider overtook the line"
        undisturbed = not happened & {
            "first_departs",
            "all_depart",
            "first_leaves_the_line",
            "first_is_deleted",
            "first_returns",
            "turn",
            "hand_off_to_second",
        }
        if undisturbed and granted:
            assert granted[0] == str(self.first.pk), "it was the first one's turn"


ACTORS = [name for name in vars(World) if not name.startswith(("_", "check"))]


def interleave_with_every_other(first: str, subtests: Any) -> None:
    """Hold one actor before each of its statements in turn, for every other one."""
    users = [make_user(name) for name in ("ada", "bob", "carol", "dan")]
    for second in ACTORS:
        if second != first:
            with subtests.test(second=second):
                interleaving.at_every_statement(
                    partial(World, {first, second}, users), first, second
                )
