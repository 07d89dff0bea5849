"""The database: reached, new enough, migrated, set up as the service needs it, and heard when it notifies."""

import secrets
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import psycopg
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection
from django.db.models.functions import Now

from events_app.database import sql, start
from events_app.database.probe import WriteCheck
from events_app.database.standbys import UNSEEN, StandbyWatch
from events_app.models import EventLog, ServerProcess
from events_app.serving import server
from silo.doctor.findings import Finding, ok, problem, warning

# Django 5.2 needs 14; time-outs and plans are tested from 15 on.
OLDEST: Final = 150_000
# Milliseconds that the settings name, and that each connection is to have.
TIMEOUTS: Final = ("idle_in_transaction_session_timeout", "lock_timeout")
# Nothing depends on the difference; people compare times of logs, and tokens expire by the database's clock.
CLOCK_SECONDS: Final = 5.0
# For a commit, which a synchronous standby may hold up for ever.
COMMIT_SECONDS: Final = 3.0
ROUND_TRIPS: Final = 2
PROOFS: Final = 2


def findings() -> Iterator[Finding]:
    """Yield them. Where the database is not there, or not migrated, that is the last one."""
    try:
        start.look()
    except start.Unreachable as unreachable:
        yield problem(
            "database",
            f"The database cannot be used: {unreachable} ({_in_a_line(unreachable.error)}).",
            "Correct DATABASE_URL, or start PostgreSQL and let this machine in.",
        )
        return
    except start.NotMigrated as lacking:
        yield problem(
            "migrations",
            str(lacking),
            "Run manage.py upgrade, which takes a backup; the first time manage.py migrate.",
        )
        return
    yield ok("migrations", "All migrations are applied.")
    try:
        yield from of_version()
        yield from _of_settings()
        yield from _of_clock()
        yield of_standbys(settings.EVENTS_DATABASE_STANDBYS)
        yield of_commit()
        yield of_notifications()
    except (DatabaseError, psycopg.Error, OSError) as error:
        yield problem(
            "database",
            f"The connection was lost: {_in_a_line(error)}.",
            "See the log of PostgreSQL.",
        )


def is_usable(found: list[Finding]) -> bool:
    """Return whether these findings leave a database that can be asked further."""
    return not any(one.subject in {"database", "migrations"} and one.advice for one in found)


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split())


def of_version() -> Iterator[Finding]:
    """Yield whether PostgreSQL is new enough."""
    version = sql.setting("server_version")
    if int(sql.setting("server_version_num")) < OLDEST:
        yield problem(
            "PostgreSQL", f"PostgreSQL has version {version}.", "Upgrade it to 15 or newer."
        )
    else:
        yield ok("PostgreSQL", f"PostgreSQL {version} is new enough.")


def _of_settings() -> Iterator[Finding]:
    lacking = [name for name in TIMEOUTS if sql.setting(name) in {"0", "0ms"}]
    if lacking:
        yield problem(
            "time-outs",
            f"The database does not take {' and '.join(lacking)} from the servers: one that is stopped in a"
            " transaction would hold up all others.",
            "Give them to the role: "
            + " ".join(
                f"ALTER ROLE {connection.settings_dict['USER'] or 'silo'} SET {name} = '4s';"
                for name in lacking
            ),
        )
    else:
        yield ok("time-outs", "The database ends a transaction that is stopped, or waits too long.")
    unsafe = [
        name
        for name in ("fsync", "synchronous_commit", "full_page_writes")
        if sql.setting(name) == "off"
    ]
    if unsafe:
        yield problem(
            "durability",
            f"{' and '.join(unsafe)}: off. A crash of PostgreSQL can lose locks that were granted.",
            f"Turn {' and '.join(unsafe)} on.",
        )
    else:
        yield ok("durability", "A granted lock survives a crash of PostgreSQL.")
    most = server.connections_allowed()
    servers = max(1, ServerProcess.objects.filter(given_up=False).count())
    needed = servers * server.most_connections() + 1  # the sweeper's
    if needed > most:
        yield warning(
            "connections",
            f"The servers ({servers}) and a sweeper may need {needed} connections; PostgreSQL allows {most}.",
            f"Set max_connections to {needed + 10} or more.",
        )
    else:
        yield ok(
            "connections",
            f"PostgreSQL allows {most}; the servers ({servers}) and a sweeper need {needed} at most.",
        )


def _of_clock() -> Iterator[Finding]:
    before = time.time()
    at = EventLog.objects.values_list(Now()).get()[0]
    middle = datetime.fromtimestamp((before + time.time()) / 2, UTC)
    apart = (at - middle).total_seconds()
    if abs(apart) > CLOCK_SECONDS:
        yield warning(
            "clocks",
            f"PostgreSQL's clock is {abs(apart):.0f} s {'ahead of' if apart > 0 else 'behind'} this machine's."
            " Locks do not depend on it; times in logs do.",
            "Synchronize both machines by NTP.",
        )
    else:
        yield ok("clocks", f"PostgreSQL's and this machine's are {abs(apart):.1f} s apart.")


def of_standbys(expected: int) -> Finding:
    """Return whether as many standbys acknowledge commits as are expected, and commits wait for them."""
    watch = StandbyWatch(expected)
    watch.look()
    if watch.missing:
        unseen = watch.warning == UNSEEN
        return problem(
            "standbys",
            f"{'Standbys cannot be confirmed' if unseen else 'A standby is missing'}: {watch.warning}.",
            "See pg_stat_replication, and patronictl list. docs/high-availability.md",
        )
    # `remote_write` waits for the memory of the standby's machine only.
    strong = {"on", "remote_apply"}
    if expected and (wanted := sql.setting("synchronous_commit")) not in strong:
        return problem(
            "standbys",
            f"A commit may be answered that no standby has on its disk: synchronous_commit is {wanted}.",
            "Remove that from the role, the database and DATABASE_URL. docs/high-availability.md",
        )
    # With none expected the watch asks nothing.
    found = watch.found if expected else sql.standbys()[0]
    if found > expected:
        return warning(
            "standbys",
            f"{found} standbys acknowledge commits, and {expected} are expected: no server says when one is missing.",
            f"Set server.database_standbys: {found}.",
        )
    if not expected:
        return ok("standbys", "None is expected (server.database_standbys: 0).")
    return ok("standbys", f"All that are expected acknowledge commits: {found}.")


def of_commit(*, migrated: bool = True) -> Finding:
    """Return whether something can be written and committed, in time.

    Args:
        migrated: False where the database need not be migrated for that.
    """
    check, answers = WriteCheck(migrated=migrated), []

    def run() -> None:
        try:
            answers.append(check.run())
        finally:
            connection.close()

    # A daemon: a commit that no standby acknowledges cannot be taken back, and ends when one is back.
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(COMMIT_SECONDS)
    reason = answers[0] if answers else check.unanswered
    if reason:
        return problem(
            "commit",
            f"Nothing can be committed: {reason}.",
            "See disk, standbys and log of PostgreSQL.",
        )
    return ok("commit", "A row can be written and committed.")


def of_notifications() -> Finding:
    """Return whether a notification comes from one connection to another."""
    for _ in range(ROUND_TRIPS):
        if _round_trip():
            return ok("notifications", "Notifications arrive.")
    return problem(
        "notifications",
        "Notifications do not arrive, so events are late. The usual cause is a pooler in transaction mode.",
        "Let DATABASE_URL lead to PostgreSQL itself, or use session mode.",
    )


def _round_trip() -> bool:
    parameters, token = sql.parameters_for("doctor"), secrets.token_hex(8)
    came: list[str] = []
    with (
        psycopg.connect(**parameters, autocommit=True) as listening,
        psycopg.connect(**parameters, autocommit=True) as other,
    ):
        listening.add_notify_handler(lambda one: came.append(one.payload))
        listening.execute(sql.LISTEN_ROUND_TRIP.encode())
        other.execute(sql.NOTIFY_ROUND_TRIP.encode(), [token])
        for _ in range(PROOFS):
            # PostgreSQL sends what was notified ahead of its next answer.
            listening.execute(sql.PROOF_OF_LIFE)
    return token in came
