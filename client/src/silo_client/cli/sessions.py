"""Sessions as people name and read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from silo_client.api import Api
from silo_client.cli.connection import about
from silo_client.cli.exit_codes import CommandError, ExitCode
from silo_client.cli.options import Level
from silo_client.cli.output import ago, typed, when
from silo_client.cli.table import Column
from silo_client.data import Lock, person, time_of

Json = Mapping[str, Any]

COLUMNS = (
    Column("Part", 0, 12),
    Column("Level", 6, 10),
    Column("Object", 5, 8),
    Column("User", 1, 10),
    Column("Workstation", 4, 10),
    Column("Since", 3, 16),
    Column("State", 2, 14),
    Column("Note", 7, 10),
)
# The number of other sessions that a line has room for.
NAMED = 3


@dataclass(frozen=True)
class Filter:
    """A filter of sessions.

    Args:
        part: the part number, in any spelling; None for all. The server applies it.
        level: the context level; None for all.
        object_id: the object; None for all, "" for the whole part.
    """

    part: str | None = None
    level: Level | None = None
    object_id: str | None = None

    def __contains__(self, payload: Json) -> bool:
        return (
            self.level is None or self.level.value == payload["context_level"]
        ) and self.object_id in (None, payload["object_id"])

    def __str__(self) -> str:
        words = [self.part, self.level and self.level.value, self.object_id]
        return " / ".join(word for word in words if word) or "any part"


def sessions_of(api: Api, wanted: Filter, **filters: Any) -> list[Json]:
    """Return the caller's sessions that match, on all workstations.

    Args:
        api: the server.
        wanted: the filter.
        **filters: further parameters of the API: `all="true"` for the sessions of all users.
    """
    if wanted.part is not None:
        filters["item"] = wanted.part
    with about(wanted.part):
        found, _ = api.sessions(**filters)
        if not found and wanted.part is not None:
            # A filter by an unknown part finds nothing; this call reports the part.
            api.sessions_of(wanted.part)
    return [session for session in found if session in wanted]


def the_one(sessions: Sequence[Json], none: str, advice: str = "") -> Json:
    """Return the only session.

    Args:
        sessions: the sessions that were found.
        none: the message if there is none.
        advice: the advice if there is none.

    Raises:
        CommandError: there is no session, or there are several.
    """
    if not sessions:
        raise CommandError(none, advice, ExitCode.NOT_FOUND)
    if len(sessions) > 1:
        raise several(sessions, "Say which one by PART, --level and --object.")
    return sessions[0]


def several(sessions: Iterable[Json], advice: str) -> CommandError:
    """Return the error where one session is needed and several were found."""
    lines = [f"  {named(session)}  (session {session['session_id']})" for session in sessions]
    return CommandError("These match:", advice, ExitCode.USAGE, lines)


def named(session: Json) -> str:
    """Return a session as text: lock, holder, workstation, since when."""
    since = when(time_of(session.get("acquired_at")))
    text = f"{Lock.from_payload(session)}: {person(session)} on {session['workstation']['name']}"
    return f"{text} since {since}" if since else text


def state(session: Json) -> str:
    """Return whether its workstation is away, not connected or idle, and for how long; and its conflicts."""
    states = []
    if session.get("away_since"):
        states.append(f"away {ago(time_of(session['away_since']))}")
    elif session.get("connected") is False:
        # An older server does not say so.
        states.append("not connected")
    elif session.get("idle_since"):
        states.append(f"idle {ago(time_of(session['idle_since']))}")
    if others := conflicting(session):
        states.append(f"may conflict with {others}")
    return ", ".join(states)


def conflicting(session: Json) -> str:
    """Return the holders of sessions that interfere softly: bob (Bob Noyce) on cad-2; "" for none, or not known."""
    met = session.get("interferes_with") or []
    named = [f"{person(one)} on {one['workstation']['name']}" for one in met[:NAMED]]
    if len(met) > NAMED:
        named.append(f"{len(met) - NAMED} more")
    return "; ".join(named)


def row(session: Json) -> tuple[str, ...]:
    """Return the cells of a session for `COLUMNS`."""
    return (
        session["part_number"],
        session["context_level"],
        session["object_id"],
        person(session),
        session["workstation"]["name"],
        when(time_of(session["acquired_at"])),
        state(session),
        session.get("note", ""),
    )


def lock_options(lock: Lock) -> list[str]:
    """Return the words that name a lock on the command line."""
    return [
        lock.part_number,
        "--level",
        lock.level,
        *(["--object", lock.object_id] if lock.object_id else []),
    ]


def command_for(name: str, lock: Lock, *more: str) -> str:
    """Return a command about a lock, as it can be typed."""
    return typed("silo", name, *lock_options(lock), *more)
