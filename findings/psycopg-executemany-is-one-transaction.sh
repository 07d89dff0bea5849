#!/usr/bin/env bash
# psycopg 3.3.9: with autocommit, `executemany` keeps none of its rows once a later one fails; psycopg2 keeps the earlier.
#
# One would guess: with autocommit each row is a statement and a transaction of its own, as in psycopg2, and as in a loop
# of `execute`. So the rows before a bad one are there, and those after it can be tried again.
# What is so: it sends all rows as one pipeline, and PostgreSQL takes what comes between two synchronisations as one
# transaction. An error takes the rows back that were reported before it. All of them also have the same now(), and each
# row that is locked stays locked until the last row is through.
#
# Seen (rows kept of four whose third is bad; values of now() of four good ones): psycopg2 2, 4; psycopg 0, 1
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
"$PLACE/venv/bin/python" -m pip install -qq --disable-pip-version-check 'psycopg[binary]==3.3.9' psycopg2-binary==2.9.11

cat >"$PLACE/show.py" <<'PY'
import sys

import psycopg
import psycopg2

address = f"host={sys.argv[1]} user=postgres"
INSERT = "INSERT INTO line VALUES (%s)"
seen = {}
for library in (psycopg2, psycopg):
    connection = library.connect(address)
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE line (number int CHECK (number > 0), at timestamptz DEFAULT now())")
    try:
        cursor.executemany(INSERT, [(1,), (2,), (-3,), (4,)])
    except library.errors.CheckViolation:
        pass
    cursor.execute("SELECT count(*) FROM line")
    kept = cursor.fetchone()[0]
    cursor.execute("TRUNCATE line")
    cursor.executemany(INSERT, [(1,), (2,), (3,), (4,)])
    cursor.execute("SELECT count(DISTINCT at) FROM line")
    times = cursor.fetchone()[0]
    cursor.execute("DROP TABLE line")
    seen[library.__name__] = (kept, times)
    print(f"{library.__name__}: rows kept of four whose third is bad {kept}, values of now() of four good ones {times}")
sys.exit(0 if seen == {"psycopg2": (2, 4), "psycopg": (0, 1)} else 1)
PY
"$PLACE/venv/bin/python" "$PLACE/show.py" "$PLACE"
