"""Every operation takes its locks in the one order.

Workstations, processes, connections, items, places in line, sessions, the log. What is only tried is no step.
"""

import re
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.db.models import Value
from django.db.models.functions import Now

from events_app.models import Observation, ServerProcess
from events_app.presence import clean_up, server_processes, store
from events_app.presence.server_processes import ProcessIdentity
from events_app.presence.store import Arrival, Departure
from sessions_app import operations
from sessions_app.models import EditSession, Item, PlaceInLine, Workstation
from sessions_app.models.results import Wanted
from sessions_app.operations import items
from sessions_app.operations.merge import merge
from sessions_app.operations.workstations import register
from tests.factories import (
    acquire,
    api_of,
    clean_up_one,
    grant_what_is_free,
    let_go,
    make_item,
    make_user,
    make_workstation,
)

pytestmark = pytest.mark.django_db

ORDER = [
    "sessions_app_workstation",
    "events_app_serverprocess",
    "events_app_connection",
    "sessions_app_item",
    "sessions_app_placeinline",
    "sessions_app_editsession",
    "the log",
]
LOCKING = re.compile(
    r'^(?:UPDATE|DELETE FROM|INSERT INTO) "(?P<written>\w+)"'
    r'|^SELECT .*? FROM "?(?P<selected>\w+)"? .*FOR (?:NO KEY |KEY )?(?:UPDATE|SHARE)'
    r"|(?P<log>pg_advisory_xact_lock)",
    re.DOTALL,
)
ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")


def locks_taken(operation: Callable[[], Any]) -> list[str]:
    """Return what an operation locks, in order; a table again only where another came between.

    Workstations and items are each locked by one statement: a later one only for rows that are locked already.
    """
    taken: list[str] = []
    rows: dict[str, set[Any]] = {}

    def record(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        match = LOCKING.search(sql)
        if match and "SKIP LOCKED" not in sql:
            table = "the log" if match["log"] else match["written"] or match["selected"]
            if match["selected"] in {"sessions_app_workstation", "sessions_app_item"}:
                # Lists are the parameters of the lookup `any`; lists of ids are one text.
                ids = set(ID.findall(str(params).replace("-", "")))
                assert ids <= rows.setdefault(table, ids), f"{table} is locked in two steps"
            if table in ORDER and taken[-1:] != [table]:
                taken.append(table)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(record):
        operation()
    return taken


def check_order(taken: list[str]) -> None:
    """A step back is only to rows of a kind that is locked already."""
    reached = -1
    seen = set()
    for table in taken:
        place = ORDER.index(table)
        assert place >= reached or table in seen, f"{table} after {ORDER[reached]}: {taken}"
        reached = max(reached, place)
        seen.add(table)


class World:
    def __init__(self) -> None:
        self.ada = make_user()
        self.workstation, self.item = make_workstation(self.ada), make_item()
        self.process = ProcessIdentity()
        self.stream = Arrival(uuid.uuid4(), self.workstation.pk)
        store.register(self.process, [self.stream])
        self.session = acquire(self.workstation, self.item).session
        self.bob = make_workstation(make_user("bob"))
        self.other = Arrival(uuid.uuid4(), self.bob.pk)
        store.register(ProcessIdentity(), [self.other])
        wanted = Wanted(self.item.part_number, "sketch")
        operations.line.stand(self.bob.user, self.bob.pk, wanted)
        # Seen to depart by another process, should this one be found dead.
        Workstation.objects.update(
            departed_at=Now() + Value(timedelta(hours=1)), departed_by=uuid.uuid4()
        )

    def acquire(self) -> None:
        acquire(self.workstation, self.item, "another")

    def acquire_again(self) -> None:
        acquire(self.workstation, self.item)

    def release(self) -> None:
        let_go(self.session.pk)

    def release_many(self) -> None:
        operations.release.release_many(self.ada, [self.session.pk])

    def force_release(self) -> None:
        operations.release.force_release(self.session.pk, by="root", note="why")

    def _before_take_over(self) -> None:
        Workstation.objects.filter(pk=self.bob.pk).update(idle_since=Now(), away_since=Now())

    def take_over(self) -> None:
        operations.handoff.take_over(self.bob.user, self.session.pk, self.bob.pk, "why")

    def arrive(self) -> None:
        store.arrive(self.process, [Arrival(uuid.uuid4(), self.workstation.pk)])

    def _before_give_to_another_machine(self) -> None:
        Observation.objects.update(last_beat=None)
        long_ago = Now() - Value(timedelta(hours=1))
        Workstation.objects.filter(pk=self.workstation.pk).update(machine="a", last_seen=long_ago)

    def give_to_another_machine(self) -> None:
        register(self.ada, "cad-1", self.workstation.fingerprint, "another")

    def register(self) -> None:
        arrival = Arrival(uuid.uuid4(), self.workstation.pk)
        store.register(ProcessIdentity(), [arrival])

    def depart(self) -> None:
        change = Departure(self.stream.connection_id, self.workstation.pk, by_client=True)
        store.depart(self.process, [change])

    def touch(self) -> None:
        store.touch(self.process, [self.workstation.pk], [self.stream.connection_id])

    def alive(self) -> None:
        operations.alive.alive(self.ada, self.workstation.pk, self.stream.connection_id)

    def beat(self) -> None:
        server_processes.beat(self.process, timedelta(seconds=10))

    def expire(self) -> None:
        EditSession.objects.expire_stale(timedelta(0))

    def _before_clean_up(self) -> None:
        others = ServerProcess.objects.exclude(pk=self.process.id)
        others.update(last_beat=Now() + Value(timedelta(hours=1)))

    def clean_up(self) -> None:
        clean_up_one(timedelta(0))

    def unregister(self) -> None:
        clean_up.unregister(self.process)

    def release_all(self) -> None:
        operations.release.release_all(self.workstation.pk)

    def _before_acquire_a_batch(self) -> None:
        for number in range(3):
            make_item(f"B-{number}")

    def acquire_a_batch(self) -> None:
        wanted = [Wanted(f"B-{number}", "sketch") for number in range(3)]
        operations.acquire.acquire_all(self.bob.user, self.bob.pk, wanted)

    def _before_acquire_what_one_waits_for(self) -> None:
        EditSession.objects.filter(pk=self.session.pk).delete()

    def acquire_what_one_waits_for(self) -> None:
        acquire(self.bob, self.item)
        assert not PlaceInLine.objects.exists()

    def _before_stand_in_line(self) -> None:
        PlaceInLine.objects.all().delete()

    def stand_in_line(self) -> None:
        wanted = Wanted(self.item.part_number, "sketch")
        operations.line.stand(self.bob.user, self.bob.pk, wanted)

    def leave_the_line(self) -> None:
        operations.line.step_out(PlaceInLine.objects.get().pk)

    def _before_lose_places(self) -> None:
        get_user_model().objects.filter(pk=self.bob.user.pk).update(is_active=False)

    def lose_places(self) -> None:
        assert operations.line.lose(timedelta(0), 10)

    def _before_find_a_turn(self) -> None:
        EditSession.objects.filter(pk=self.session.pk).delete()

    def find_a_turn(self) -> None:
        assert grant_what_is_free(10)

    def request_handoff(self) -> None:
        operations.handoff.request(self.bob.user, self.session.pk, "", self.bob.pk)

    def hand_off(self) -> None:
        operations.handoff.hand_off(self.ada, self.session.pk, self.bob.pk)

    def become_idle(self) -> None:
        operations.alive.alive(self.ada, self.workstation.pk, idle_seconds=60)

    def _before_become_active(self) -> None:
        Workstation.objects.update(idle_since=Now(), away_since=Now())

    def become_active(self) -> None:
        operations.alive.alive(self.ada, self.workstation.pk, idle_seconds=0)

    def _before_expire_idle(self) -> None:
        Observation.objects.update(last_beat=None)
        Workstation.objects.update(idle_since=Now() - Value(timedelta(hours=1)))

    def expire_idle(self) -> None:
        assert EditSession.objects.expire_idle(timedelta(0), 10)

    def begin_epoch(self) -> None:
        # Which is the second of its transactions, tested as `unregister`.
        with mock.patch.object(clean_up, "forget_processes"):
            operations.epoch.begin()

    def rename_an_item(self) -> None:
        items.rename(self.item.part_number, "other")

    def retire_an_item(self) -> None:
        assert items.retire([self.item.pk])
        assert not PlaceInLine.objects.exists()

    def _before_restore_an_item(self) -> None:
        items.retire([self.item.pk])

    def restore_an_item(self) -> None:
        assert items.restore([self.item.pk])

    def _before_merge_items(self) -> None:
        make_item("twin")

    def merge_items(self) -> None:
        merge(Item.objects.get(part_number="twin").pk, [self.item.pk])

    def delete_workstation(self) -> None:
        api_of(self.ada)("DELETE", f"/api/workstations/{self.workstation.pk}")


ENDS_A_SESSION = {
    "release",
    "release_many",
    "force_release",
    "take_over",
    "depart",
    "expire",
    "clean_up",
    "delete_workstation",
    "release_all",
    "hand_off",
    "expire_idle",
    "give_to_another_machine",
}


@pytest.mark.parametrize("operation", [name for name in vars(World) if not name.startswith("_")])
def test_locks_are_taken_in_order(operation):
    world = World()
    getattr(world, f"_before_{operation}", lambda: None)()
    taken = locks_taken(getattr(world, operation))
    check_order(taken)
    assert taken, "the recorder saw nothing"
    if operation in ENDS_A_SESSION:
        assert not EditSession.objects.filter(workstation=world.workstation).exists()
        assert EditSession.objects.filter(workstation=world.bob).exists(), "it was bob's turn"
        assert "the log" in taken


def test_rows_of_one_kind_are_locked_in_the_order_of_their_ids():
    world = World()
    statements: list[str] = []

    def record(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if ("FOR NO KEY UPDATE" in sql or "FOR UPDATE" in sql) and "SKIP LOCKED" not in sql:
            statements.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(record):
        world.touch()
        world.depart()
    assert statements
    for sql in statements:
        assert re.search(r'ORDER BY ("\w+"\.)?("id"|1) ASC|LIMIT 1', sql), sql


def test_the_checker_sees_a_step_back():
    with pytest.raises(AssertionError, match="workstation after"):
        check_order(["sessions_app_item", "sessions_app_workstation"])
