"""`make demo`: a shop of simulated engineers, each a process of its own that edits by `silo_client`.

* `bill`: the parts; `people`: the engineers; `decisions`: what an engineer does next, without a process or a clock;
* `prepare`: makes parts, accounts and tokens in the database of the demonstration;
* `engineer`: an engineer's process; `shop`: starts all, and prints what happens (`news`).

The server knows nothing of this package. Of the project's own packages only `prepare` imports the server's.
"""
