"""The sessions of this process: acquiring, holding and ending them. Runs in the program.

Six objects know something about "do I have it". Which one is the truth for what:

* **the server**: whether the workstation holds a session. Everything below is what this process knows of that.
* `Holdings` (`held.py`): which sessions this process has, which of them need to be asked about, what was granted to it
  and nobody took yet, what ended lately. It alone changes an `EditSession`, under its lock.
* `EditSession` (`edit_session.py`): the state of one session, as `Holdings` last wrote it. It decides nothing.
* `Evidence` (`helper/lease.py`): until when the server certainly had the connection. Shared memory carries it to
  `HelperLink`, which is all that the program reads.
* `Ledger` (`common/obligations.py`): which connections are this process's own, and what has to be released if it dies.
  The program's copy, in `HelperLink`, is the truth; the helper's copy follows it.
* `Acquiring` (`acquire.py`): which requests are under way. It puts the others together: `session.valid` is "`Holdings`
  has it and need not ask" and "the evidence has not expired".
"""
