"""The sessions of this process: acquiring, holding and ending them. Runs in the program.

Six objects know something about "do I have this session". Each is the truth for one thing:

* **The server**: whether the workstation holds a session. Everything below is what this process knows of that.
* `HeldSessions` (`held.py`): the sessions that this process has, which of them are unconfirmed, those that were granted
  and not yet taken, and those that ended lately. Only this object changes an `EditSession`, under its lock.
* `EditSession` (`edit_session.py`): the state of one session as `HeldSessions` last wrote it. It decides nothing.
* `Lease` (`helper/lease.py`): until when the server certainly has the connection. Shared memory carries the moment to
  `HelperLink.valid_until`, which is all that the program reads.
* `Obligations` (`common/obligations.py`): which connections are this process's own, and what has to be ended when the
  process dies. The program's copy, in `HelperLink`, is the truth; the helper's copy follows it.
* `Acquirer` (`acquire.py`): which requests are under way. It also puts the others together: a session is valid while
  `HeldSessions` has it confirmed and the lease has not expired.
"""
