"""Removes what dead or stopped server processes leave behind: in steps of so many keys, each a transaction of its own.

The first step gives the process up. From then on it stays dead: it notices at its next beat or write, and registers
under another id, with all its streams.
"""

import logging
import uuid
from collections.abc import Collection
from datetime import timedelta
from functools import lru_cache

from django.db import Error, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from events_app.database import sql
from events_app.database.lock_retry import with_lock_retry
from events_app.database.round_trip import Statement, rows_of
from events_app.database.unavailable import is_statement_error
from events_app.models import Connection, ServerProcess
from events_app.presence import server_processes
from events_app.presence.backend import Key, backend
from events_app.presence.outages import observed_for
from events_app.presence.queue import PARTS
from events_app.presence.server_processes import ProcessIdentity

logger = logging.getLogger(__name__)


def connected(keys: Collection[Key]) -> set[Key]:
    """Return those of the (locked) keys that have a connection on any process."""
    return set(Connection.objects.filter(key__in=keys).values_list("key", flat=True))


def next_keys(
    server_dead: timedelta, count: int, behind: Collection[Key] = ()
) -> tuple[uuid.UUID | None, list[Key]]:
    """Return a dead process, and the keys whose clean-up is next.

    Args:
        server_dead: how long a dead process has not beaten.
        count: at most so many keys.
        behind: keys that come after all others.
    """
    if not rows_of(_perhaps_dead(server_dead)()):
        return None, []
    dead = _dead(server_dead)
    theirs = Connection.objects.filter(process=OuterRef("pk"))
    others = theirs.exclude(key__in=behind)
    first = dead.filter(Exists(others) | ~Exists(theirs)).values_list("pk", flat=True).first()
    if first is not None:
        return first, _some_keys(first, count, behind)
    last = dead.values_list("pk", flat=True).first()
    return last, [] if last is None else _some_keys(last, 1, ())


class Cleaner:
    """Cleans up after dead processes; a key whose clean-up fails does not delay the others.

    Args:
        server_dead: how long a process has been silent that is dead.
    """

    def __init__(self, server_dead: timedelta) -> None:
        self._server_dead = server_dead
        # Keys that have failed alone: they are retried one by one, once a beat, after all others.
        self._behind: list[Key] = []
        # How many keys are tried together, after a larger set has failed.
        self._count: int | None = None

    def step(self) -> bool:
        """Run one step: one transaction.

        Returns:
            Whether there may be more.

        Raises:
            Error: the database is unavailable, or refused the only keys that are left.
        """
        count = self._count or server_processes.KEYS_AT_ONCE
        process_id, keys = next_keys(self._server_dead, count, self._behind)
        if process_id is None:
            self._behind, self._count = [], None
            return False
        if again := [key for key in keys if key in self._behind]:
            self._behind = [*(key for key in self._behind if key not in again), *again]
        try:
            more = clean_up(process_id, keys, self._server_dead)
        except Error as error:
            if not is_statement_error(error) or again:
                self._count = None
                raise
            self._note(process_id, keys, error)
            return True
        if not more:
            self._count = None
        return more

    def _note(self, process_id: uuid.UUID, keys: list[Key], error: Error) -> None:
        """Retry failed keys in parts; a key that failed alone after all others."""
        if len(keys) > 1:
            self._count = max(1, len(keys) // PARTS)
            return
        logger.error(
            "cleaning up after a dead server process failed for one workstation; it is tried again last",
            extra={"error": error, "key": keys[0] if keys else process_id},
        )
        self._behind += keys
        self._count = None


def clean_up(process_id: uuid.UUID, keys: Collection[Key], server_dead: timedelta) -> bool:
    """Remove the connections of these keys from a dead process, and with the last one the process.

    Returns:
        Whether there may be more; false as well where another process cleans up.
    """

    def operation(also: Collection[Key]) -> bool:
        if not sql.try_clean_up_lock():
            return False
        backend().lock(keys, also)
        dead = _dead(server_dead).annotate(now=Now()).select_for_update()
        process = dead.filter(pk=process_id).first()
        if process is None:
            return True  # it came back, or somebody else was first
        ServerProcess.objects.filter(pk=process_id).update(given_up=True)
        _delete_connections(process_id, keys)
        gone = set(keys) - connected(keys)
        if process.given_up and process.last_beat > process.now - server_dead:
            # It has just beaten: it stops, and this is a part of that.
            backend().server_stopped(gone)
        else:
            backend().server_died(gone, process_id, process.last_beat)
        if not Connection.objects.filter(process=process_id).exists():
            process.delete()
            transaction.on_commit(lambda: _log_removal(process))
        return True

    return with_lock_retry(operation)


def unregister(process: ProcessIdentity) -> None:
    """Remove this process and its connections, without departures."""
    _forget(process.id)


def forget_processes() -> None:
    """Remove every process: live ones notice at their next beat and register again."""
    for pk in ServerProcess.objects.order_by("pk").values_list("pk", flat=True):
        _forget(pk)


def _forget(process_id: uuid.UUID) -> None:
    while _forget_some(process_id):
        pass


def _forget_some(process_id: uuid.UUID) -> bool:
    keys = _some_keys(process_id, server_processes.KEYS_AT_ONCE, ())
    with transaction.atomic():
        backend().lock(keys)
        process = ServerProcess.objects.select_for_update().filter(pk=process_id)
        if not process.exists():
            return False
        process.update(given_up=True)
        _delete_connections(process_id, keys)
        backend().server_stopped(set(keys) - connected(keys))
        if Connection.objects.filter(process=process_id).exists():
            return True
        process.delete()
    return False


def _dead(server_dead: timedelta) -> "QuerySet[ServerProcess]":
    """The processes that were given up, or have ceased to beat while others did without a gap.

    Right after a jump of the database's clock, as after an outage, every process seems to be silent.
    """
    silent = Q(last_beat__lt=Now() - server_dead)
    return ServerProcess.objects.filter(
        Q(given_up=True) | (silent & Q(observed_for(server_dead)))
    ).order_by("id")


@lru_cache(maxsize=2)
def _perhaps_dead(server_dead: timedelta) -> Statement:
    """Return the statement that finds a process which may be dead: mostly there is none, and nothing else is asked."""
    may_be = Q(given_up=True) | Q(last_beat__lt=Now() - server_dead)
    return Statement(lambda: ServerProcess.objects.filter(may_be).values_list("pk")[:1])


def _some_keys(process_id: uuid.UUID, count: int, behind: Collection[Key]) -> list[Key]:
    keys = Connection.objects.filter(process=process_id).exclude(key__in=behind)
    return list(keys.order_by("key").values_list("key", flat=True).distinct()[:count])


def _delete_connections(process_id: uuid.UUID, keys: Collection[Key]) -> None:
    connections = Connection.objects.filter(process=process_id, key__in=keys)
    list(connections.order_by("pk").select_for_update())
    connections.delete()


def _log_removal(process: ServerProcess) -> None:
    logger.warning(
        "removed a dead server process",
        extra={"hostname": process.hostname, "pid": process.pid, "last_beat": process.last_beat},
    )
