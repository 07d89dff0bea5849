#!/usr/bin/env bash
# PostgreSQL 15.18 (Debian 12): new shared locks of a row pass a waiting writer, while those of an advisory lock queue.
#
# One would guess: both are locks with a queue. Once a writer waits for the readers of now, later readers wait behind it,
# so the writer has its turn when those of now have gone.
# What is so: this holds for advisory locks, even `pg_try_advisory_lock_shared` refuses while a writer waits. A row locked
# with FOR SHARE is given to each further FOR SHARE at once, whoever waits: readers that overlap keep a writer out for as
# long as they come, here until its lock_timeout.
#
# Seen: rows: 20 of 20 later readers passed, the writer timed out; advisory: 0 of 20 passed, the writer had its turn
#
# Needs the programs of PostgreSQL 15 of the distribution (as root it runs them as its user postgres), python3 (3.10 or
# newer) and pip. Exits with 1 if it behaves otherwise.
set -euo pipefail

PROGRAMS=/usr/lib/postgresql/15/bin
PLACE=$(mktemp -d)
AS=()
if [[ $EUID == 0 ]]; then
  chown postgres "$PLACE"
  AS=(setpriv --reuid=postgres --regid=postgres --init-groups)
fi
cd "$PLACE"
end() {
  "${AS[@]}" "$PROGRAMS/pg_ctl" stop --silent --wait -m immediate -D "$PLACE/data" || true
  rm -rf "$PLACE"
}
trap end EXIT

"${AS[@]}" "$PROGRAMS/initdb" -D "$PLACE/data" -U postgres --auth=trust >/dev/null
"${AS[@]}" "$PROGRAMS/pg_ctl" start --silent --wait -D "$PLACE/data" -l "$PLACE/log" \
  -o "-c listen_addresses='' -c unix_socket_directories=$PLACE"
python3 -m venv "$PLACE/venv"
"$PLACE/venv/bin/python" -m pip install -qq --disable-pip-version-check 'psycopg[binary]==3.3.9'

cat >"$PLACE/show.py" <<'PY'
import sys
import threading
import time

import psycopg

address = f"host={sys.argv[1]} user=postgres"
LATER = 20


def connect():
    return psycopg.connect(address, autocommit=True)


admin = connect()
admin.execute("CREATE TABLE item (id int PRIMARY KEY)")
admin.execute("INSERT INTO item VALUES (1)")


def waiting(pid):
    query = "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = %s"
    return admin.execute(query, [pid]).fetchone()[0]


def try_rows(reader):
    try:
        return bool(reader.execute("SELECT FROM item FOR SHARE NOWAIT").rowcount)
    except psycopg.errors.LockNotAvailable:
        return False


def try_advisory(reader):
    return reader.execute("SELECT pg_try_advisory_xact_lock_shared(1)").fetchone()[0]


def show(read, write):
    """Return how many of the later readers passed, and whether the writer had its turn."""
    turn = []

    def wait():
        writer.execute("SET lock_timeout = '4s'")
        try:
            writer.execute(write)
            turn.append(True)
        except psycopg.errors.LockNotAvailable:
            turn.append(False)

    writer, last = connect(), connect()
    last.execute("BEGIN")
    assert read(last)
    thread = threading.Thread(target=wait)
    thread.start()
    while not waiting(writer.info.backend_pid):
        time.sleep(0.01)
    passed = 0
    # Each reader comes before the one that it follows has gone.
    for _ in range(LATER):
        later = connect()
        later.execute("BEGIN")
        if read(later):
            passed += 1
            last.close()
            last = later
        else:
            later.close()
    if passed:
        thread.join()
    last.close()
    thread.join()
    return passed, turn[0]


rows = show(try_rows, "SELECT FROM item FOR UPDATE")
advisory = show(try_advisory, "SELECT pg_advisory_lock(1)")
for name, (passed, turn) in {"rows": rows, "advisory": advisory}.items():
    print(f"{name}: {passed} of {LATER} later readers passed, the writer {'had its turn' if turn else 'timed out'}")
sys.exit(0 if (rows, advisory) == ((LATER, False), (0, True)) else 1)
PY
"$PLACE/venv/bin/python" "$PLACE/show.py" "$PLACE"
