"""The operations of users and of clocks: plain functions, one transaction each, above the tables and below the API.

Locks and their order: docs/architecture.md, "One order of locks".

| file | what it does |
|---|---|
| `access.py` | the caller's own workstation: locked, then checked |
| `limits.py` | how much one workstation and one user may hold |
| `facts.py` | what acquires are decided by: locked, then read, for a set of requests |
| `acquire.py` | acquire one session or a batch, for a set of requests |
| `release.py` | release, by the holder for a set of requests, or by force |
| `line.py` | stand in line, leave it, grant what is free |
| `handoff.py` | ask for a session, hand it over, take it over, verify its fencing token |
| `presence.py` | arrival, departure, grace and idleness of workstations |
| `alive.py` | many alive requests at once |
| `workstations.py` | register a workstation, delete one |
| `items.py` | create, rename, retire and restore items |
| `merge.py` | merge items that are one part |
| `epoch.py` | new fencing tokens and cursors, after a restore |
"""

from sessions_app.operations import (
    access,
    acquire,
    alive,
    epoch,
    handoff,
    items,
    limits,
    line,
    merge,
    presence,
    release,
    workstations,
)

__all__ = [
    "access",
    "acquire",
    "alive",
    "epoch",
    "handoff",
    "items",
    "limits",
    "line",
    "merge",
    "presence",
    "release",
    "workstations",
]
