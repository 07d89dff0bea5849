"""The managers of edit sessions and of the line. Locks and their order: docs/architecture.md, "One order of locks".

| file | what it does |
|---|---|
| `register.py` | which machine a workstation is |
| `own.py` | the caller's own workstation, locked and checked |
| `acquire.py` | acquire one or a batch |
| `end.py` | every end of a session, and what follows in the same transaction |
| `stay.py` | heartbeat, arrival, departure, grace, idleness |
| `handoff.py` | asking for a session, handing it over, proving that one is live |
| `epoch.py` | all tokens and cursors anew, after a restore |
| `line.py` | standing in line, and whose turn it is |
"""
