"""Finds obstacles to migrating this database to this version. It changes nothing."""

from collections.abc import Iterator
from typing import Final

from django.db import Error as DatabaseError
from django.db import connection
from django.db.migrations import Migration
from django.db.migrations.executor import MigrationExecutor

from events_app.database import others, sql, start
from silo.doctor import database
from silo.doctor.findings import Finding, ok, problem

# Servers of before must not run beside what these make; CHANGELOG.md says why. A release adds its own.
ALONE: Final = frozenset({("events_app", "0007_audiences")})


def plan() -> list[Migration]:
    """Return the migrations that are to be applied, in their order.

    Raises:
        django.db.Error: the database cannot be asked, or what was applied to it has no such order.
    """
    executor = MigrationExecutor(connection)
    executor.loader.check_consistent_history(connection)
    return [step for step, _ in executor.migration_plan(executor.loader.graph.leaf_nodes())]


def findings() -> Iterator[Finding]:
    """Yield them. Where the database cannot be migrated at all, that is the last one."""
    try:
        start.look()
    except start.Unreachable as unreachable:
        yield problem(
            "database",
            f"The database cannot be used: {unreachable}.",
            "Correct DATABASE_URL, or start PostgreSQL and let this machine in.",
        )
        return
    except start.NotMigrated:
        pass
    try:
        applied = sql.applied_migrations()
        if not applied:
            yield problem(
                "migrations",
                "The database has no tables of this service yet.",
                "Look whether DATABASE_URL names the right one. For a first installation run manage.py migrate.",
            )
            return
        if newer := start.newer(applied):
            yield problem(
                "migrations",
                f"The database is newer than this version: it has {'.'.join(newer[-1])}.",
                "Install the version that migrated it, or a newer one.",
            )
            return
        steps = plan()
        yield ok("migrations", f"{len(steps)} are to be applied." if steps else "All are applied.")
        yield from database.of_version()
        yield database.of_commit(migrated=False)
        if steps:
            yield _of_services({(step.app_label, step.name) for step in steps})
            yield _of_locks()
    except DatabaseError as error:
        yield problem("database", f"{' '.join(str(error).split())}.", "See the log of PostgreSQL.")


def _of_services(steps: set[tuple[str, str]]) -> Finding:
    running = others.services()
    if not running:
        return ok("servers", "No server and no sweeper is connected.")
    who = others.listed(running)
    if alone := sorted(steps & ALONE):
        return problem(
            "servers",
            f"Servers of before must not run beside {'.'.join(alone[0])}. Connected: {who}.",
            "Stop every server and sweeper.",
        )
    return ok("servers", f"They may go on meanwhile, and are restarted afterwards: {who}.")


def _of_locks() -> Finding:
    if not (holding := others.long_locking()):
        return ok("locks", "No long transaction holds a lock on a table.")
    pids = ", ".join(str(one.pid) for one in holding)
    return problem(
        "locks",
        f"A transaction has held locks on tables for {others.LONG_SECONDS:g} s or more: {others.listed(holding)}. A"
        " migration would wait for it, and every request for the migration.",
        f"Let it end, or end it: SELECT pg_terminate_backend(pid), with the pid {pids}.",
    )
