"""The history of random traffic, from what the clients told and what the database knows."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, replace
from math import inf
from pathlib import Path
from typing import Any

from django.db import connection

from events_app.models import EventLog, LogEntry
from sessions_app.models import EditSession, EndedSession
from tests.faults.traffic_calendar import AFTERMATH_SECONDS, LIMITS, SECONDS, SEED, Faults
from tests.faults.traffic_crowd import Actor, Crowd, Life
from tests.faults.traffic_troubles import Servers
from tests.history import (
    ACQUIRED,
    RELEASED,
    Entry,
    History,
    Limits,
    Operation,
    Received,
    Row,
    Stream,
)
from tests.history_places import Line
from tests.slow.model_state import Lock


def clock_offset() -> float:
    """Return what is to be added to the clients' clock for the database's."""
    with connection.cursor() as cursor:
        before = time.monotonic()
        cursor.execute("SELECT extract(epoch FROM clock_timestamp())")
        now = float(cursor.fetchone()[0])
        return now - (before + time.monotonic()) / 2


def operations_of(name: str, life: Life) -> Iterator[Operation]:
    """Return what one process of a client asked for."""
    calls: dict[int, Operation] = {}
    for what, at, number, *more in life.lines():
        if what == "call":
            calls[number] = Operation(name, more[0], at, more[1])
        elif what == "answer":
            status, answer = more
            # A server that fails, fails before or after it has done what it was asked for.
            known = {"end": at, "answer": answer} if status < 500 else {}
            calls[number] = replace(calls[number], status=status, **known)
    yield from calls.values()


def streams_of(actor: Actor, life: Life) -> Iterator[Stream]:
    """Return the streams of one process of a client."""
    streams: dict[int, Stream] = {}
    for what, at, number, *more in life.lines():
        if what == "stream":
            workstation = actor.plan["workstation"]
            streams[number] = Stream(
                actor.name, workstation, actor.channels, at, more[0], [], life.killed, True
            )
        elif what == "event":
            received: Any = streams[number].received
            received.append(Received(at, *more))
        elif what == "end" and streams[number].ended == life.killed:
            streams[number] = replace(streams[number], ended=at, by_client=more[0])
    yield from streams.values()


def rows_of(model: Any, session_id: str) -> list[Row]:
    """Read the sessions of a table, in which their id has this name."""
    return [
        Row(
            str(row[session_id]),
            Lock(str(row["item_id"]), row["context_level"], row["object_id"]),
            str(row["workstation_id"]),
            row["fencing_token"],
            row.get("reason", ""),
        )
        for row in model.objects.values()
    ]


def read_history(crowd: Crowd, faults: Faults, offset: float, limits: Limits = LIMITS) -> History:
    """Put together what the clients told and what the database knows."""
    lives = [(actor, life) for actor in crowd.actors for life in actor.lives]
    log = [
        Entry(
            e.pk,
            e.created_at.timestamp() - offset,
            e.type,
            json.loads(e.data),
            frozenset(e.channels),
        )
        for e in LogEntry.objects.order_by("id")
    ]
    return History(
        operations=[op for actor, life in lives for op in operations_of(actor.name, life)],
        streams=[stream for actor, life in lives for stream in streams_of(actor, life)],
        log=log,
        records=rows_of(EndedSession, "session_id"),
        active=rows_of(EditSession, "id"),
        epoch=EventLog.objects.get().epoch,
        ended=time.monotonic(),
        faults=faults.times,
        outages=faults.outages,
        limits=limits,
    )


def certain_turns(history: History) -> int:
    """Return how many sessions ended while somebody certainly waited for it."""
    line, ends = Line(history), (e for e in history.log if e.type == RELEASED)
    return sum(bool(line.waiting(end.row.lock, end.at)) for end in ends)


def counts_of(history: History, faults: Faults, violations: int, seconds: float = SECONDS) -> str:
    """Return one line of what there was."""
    outcomes = Counter(
        f"{op.kind} {op.answer.get('error', op.status) if op.end < inf else 'unknown'}"
        for op in history.operations
    )
    events = [event for stream in history.streams for event in stream.received]
    places = {op.answer["request_id"] for op in history.answered("stand", 201)}
    acquired = [e for e in history.log if e.type == ACQUIRED]
    ends = Counter(record.reason for record in history.records)
    told = {
        "operations": dict(sorted(outcomes.items())),
        "ends": dict(sorted(ends.items())),
        "sessions": len(acquired),
        "conflicts": sum(outcomes[f"{kind} hard_interference"] for kind in ("acquire", "batch")),
        "soft": sum(e.data["interference"] == "soft" for e in acquired),
        "places": len(places),
        "granted": len(history.granted) - ends["handed_off"],
        "handed off": ends["handed_off"],
        "ends with a certain turn": certain_turns(history),
        "log": len(history.log),
        "events": sum(event.id != "" for event in events),
        "heartbeats": sum(event.name == "heartbeat" for event in events),
        "streams": len(history.streams),
        "resumed": sum(stream.last_event_id != "" for stream in history.streams),
        "resets": sum(event.name == "stream-reset" for event in events),
        "faults": dict(sorted(faults.counts.items())),
        "violations": violations,
    }
    return f"seed {SEED}, {seconds:g} s: {json.dumps(told)}"


def settle(crowd: Crowd, limits: Limits = LIMITS) -> None:
    """Wait until nothing is held and the watchers have heard of it, or for as long as it may take."""
    deadline = time.monotonic() + AFTERMATH_SECONDS + limits.settle + 1
    while EditSession.objects.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    last = str(LogEntry.objects.order_by("id").values_list("id", flat=True).last())
    deadline = time.monotonic() + limits.patience + 1

    def heard(actor: Actor) -> bool:
        return actor.lives[-1].position.endswith(f"-{last}")

    while not all(map(heard, crowd.watchers)) and time.monotonic() < deadline:
        time.sleep(0.2)


def dump(history: History, servers: Servers, folder: Path) -> Path:
    """Write down everything for who looks for the cause."""
    path = folder / "history.json"
    path.write_text(json.dumps(asdict(history), default=sorted, indent=1))
    for number, server in enumerate(servers.logs):
        (folder / f"server-{number}.log").write_text(server.output)
    return path
