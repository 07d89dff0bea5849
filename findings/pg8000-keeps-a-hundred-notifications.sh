#!/usr/bin/env bash
# pg8000 1.31.6: a connection keeps the last 100 notifications that nobody has read yet, and drops older ones in silence.
#
# One would guess: `connection.notifications` grows with every NOTIFY that arrives, as `notifies` of psycopg2 does, until
# the program takes them out. PostgreSQL itself loses none.
# What is so: it is a deque with 100 places. Whoever takes out notifications after a long query, or after one transaction
# that notified of more than a hundred changes, gets the newest hundred. No error and no number says that others were there.
#
# Seen: of 150 notifications 100 are there, the first of them is number 50
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
"$PLACE/venv/bin/python" -m pip install -qq --disable-pip-version-check pg8000==1.31.6 'psycopg[binary]==3.3.9'

cat >"$PLACE/show.py" <<'PY'
import sys

import pg8000.native
import psycopg

place = sys.argv[1]
listener = pg8000.native.Connection("postgres", unix_sock=f"{place}/.s.PGSQL.5432")
listener.run("LISTEN changes")
with psycopg.connect(f"host={place} user=postgres", autocommit=True) as writer:
    writer.execute("SELECT pg_notify('changes', number::text) FROM generate_series(0, 149) AS number")
listener.run("SELECT 1")
payloads = [int(payload) for _, _, payload in listener.notifications]
print(f"of 150 notifications {len(payloads)} are there, the first of them is number {payloads[0]}")
sys.exit(0 if payloads == list(range(50, 150)) else 1)
PY
"$PLACE/venv/bin/python" "$PLACE/show.py" "$PLACE"
