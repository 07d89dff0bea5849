"""The database's clock goes back: every time that is stored lies in the future then, which is how it is done here."""

import time
from contextlib import suppress

import psycopg

from tests.attack.world import TIMINGS
from tests.waiting import eventually

ORPHANS = 20
# An orphan's time-out may begin anew when the clock has gone back, and a sweep has to come.
TIMEOUT_SECONDS = 60 * float(TIMINGS["SILO_SESSION_TIMEOUT_MINUTES"])
ENDED_SECONDS = TIMEOUT_SECONDS + 20.0

# The record of ended sessions refuses any change.
COLUMNS = """
    SELECT table_name, column_name FROM information_schema.columns
    WHERE table_schema = 'public' AND data_type = 'timestamp with time zone'
        AND table_name ~ '^(events_app|sessions_app)_' AND table_name <> 'sessions_app_endedsession'
"""


# Shorter than PostgreSQL waits before it looks for a deadlock: so none is found, and nobody else is made to give way.
GIVE_WAY_AFTER = "set_config('lock_timeout', '200ms', true)"


def move_times(world):
    """Move every time that is stored an hour ahead, in one transaction; again where somebody has what it waits for."""
    eventually(lambda: times_are_moved(world))


def times_are_moved(world):
    tables = {}
    for table, column in world.query(COLUMNS):
        tables.setdefault(table, []).append(f"{column} = {column} + interval '1 hour'")
    moves = "; ".join(f"UPDATE {table} SET {', '.join(moves)}" for table, moves in tables.items())
    with suppress(psycopg.errors.LockNotAvailable):
        world.query(f"DO $$ BEGIN PERFORM {GIVE_WAY_AFTER}; {moves}; END $$")
        return True
    return False


def test_orphans_end_though_the_clock_went_back_an_hour(world, honest_beside):
    honest = honest_beside(world)
    world.make_items("ORPHAN", 1)
    orphans = world.make_workstations("mal", "orphan", ORPHANS)
    world.make_sessions(orphans, "ORPHAN-1")
    assert world.held_by(orphans) == ORPHANS

    with honest.beside("the database's clock goes back an hour") as seen:
        move_times(world)
        begun = time.monotonic()
        try:
            eventually(lambda: not world.held_by(orphans), within=ENDED_SECONDS, step=0.5)
        except AssertionError:
            seen.notes.append(f"{world.held_by(orphans)} orphans stay")
        else:
            seen.notes.append(f"orphans ended after {time.monotonic() - begun:.0f} s")
    assert not world.held_by(orphans)
    # Either of them notices it first, and mends it for the other one.
    lines = world.server.lines + world.sweeper.lines
    assert [line for line in lines if " WARNING " in line and "clock went back" in line]
