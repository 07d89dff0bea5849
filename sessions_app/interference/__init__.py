"""Which sessions meet: soft interference. docs/interference.md says what it is and what it costs.

Functions below the manager, each with the query of the sessions that it is about.

| file | what it does |
|---|---|
| `compare.py` | which sessions of two sets meet, in this process, with the bounds on all of it |
| `cones.py` | the same by the database: its SQL functions and the index on cones |
| `holdings.py` | how much each workstation holds on an item |
| `choice.py` | which of these ways is taken |
| `conflicts.py` | whom sessions meet that begin or end, and the events that tell of it |
| `new_cones.py` | sessions that go on with another cone |
| `lists.py` | whom the sessions of a list meet |
"""
