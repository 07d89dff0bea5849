"""Sessions as a person names and reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from silo_client.api import Api
from silo_client.cli.connection import about
from silo_client.cli.exit_codes import CommandError, ExitCode
from silo_client.cli.options import Level
from silo_client.cli.output import ago, typed, when
from silo_client.data import Lock, person, time_of

Json = Mapping[str, Any]

COLUMNS = ("Part", "Level", "Object", "User", "Workstation", "Since", "State", "Note")
# How many others a line has room for.
NAMED = 3


@dataclass(frozen=True)
class Filter:
    """Which sessions or places are meant.

    Args:
        part: the part number; None for every one. The server looks for it, in whichever spelling.
        level: the context level; None for every one.
        object_id: the object; None for every one, "" for the whole part.
    """

    part: str | None = None
    level: Level | None = None
    object_id: str | None = None

    def __contains__(self, told: Json) -> bool:
        return (
            self.level is None or self.level.value == told["context_level"]
        ) and self.object_id in (None, told["object_id"])

    def __str__(self) -> str:
        words = [self.part, self.level and self.level.value, self.object_id]
        return " / ".join(word for word in words if word) or "any part"


def sessions_of(api: Api, wanted: Filter, **filters: Any) -> list[Json]:
    """Return the caller's sessions that are meant, on whichever workstation.

    Args:
        api: of the server.
        wanted: which ones.
        **filters: of the API besides: `all="true"` for everybody's.
    """
    if wanted.part is not None:
        filters["item"] = wanted.part
    with about(wanted.part):
        told, _ = api.sessions(**filters)
        if not told and wanted.part is not None:
            # A filter finds nothing, also by a part that there is not; this says so.
            api.sessions_of(wanted.part)
    return [session for session in told if session in wanted]


def the_one(sessions: Sequence[Json], none: str, advice: str = "") -> Json:
    """Return the only session.

    Args:
        sessions: what was found.
        none: what to say if there is none.
        advice: what to do then.

    Raises:
        CommandError: there is none, or there are several.
    """
    if not sessions:
        raise CommandError(none, advice, ExitCode.NOT_FOUND)
    if len(sessions) > 1:
        raise several(sessions, "Say which one by PART, --level and --object.")
    return sessions[0]


def several(sessions: Iterable[Json], advice: str) -> CommandError:
    """Return what to say where one session is needed and these were found."""
    lines = [f"  {named(session)}  (session {session['session_id']})" for session in sessions]
    return CommandError("These match:", advice, ExitCode.USAGE, lines)


def named(session: Json) -> str:
    """Return a session in words: what, who, where, since when."""
    since = when(time_of(session.get("acquired_at")))
    text = f"{Lock.from_payload(session)}: {person(session)} on {session['workstation']['name']}"
    return f"{text} since {since}" if since else text


def state(session: Json) -> str:
    """Return whether its workstation is away, or nobody touches it, and for how long; and whom it may conflict with."""
    states = []
    if session.get("away_since"):
        states.append(f"away {ago(time_of(session['away_since']))}")
    elif session.get("idle_since"):
        states.append(f"idle {ago(time_of(session['idle_since']))}")
    if others := conflicting(session):
        states.append(f"may conflict with {others}")
    return ", ".join(states)


def conflicting(session: Json) -> str:
    """Return who else's sessions interfere softly with one: bob (Bob Noyce) on cad-2; "" for nobody, or not known."""
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
