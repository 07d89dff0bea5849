#!/usr/bin/env bash
# PostgreSQL 15.18 (Debian 12): a commit whose wait for a synchronous standby is cancelled is reported as done.
#
# One would guess: a commit that waits for a missing standby ends with an error when it is cancelled, as every statement
# does; and statement_timeout, which cancels statements, ends its wait, too.
# What is so: the transaction has been committed here already and cannot be taken back. Cancelled, it is reported as
# done, with a warning only, so a failover may lose what a client was told is there. statement_timeout is switched off
# before the commit begins: the wait goes on. A connection that is terminated gets no answer, as one would guess.
#
# Seen: with statement_timeout still waiting; cancelled done; terminated no answer
#
# Needs the programs of PostgreSQL 15 of the distribution; as root it runs them as its user postgres. Exits with 1 if it
# behaves otherwise.
set -euo pipefail

PROGRAMS=/usr/lib/postgresql/15/bin
PLACE=$(mktemp -d /tmp/finding-XXXXXX)
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

sql() {
  "${AS[@]}" "$PROGRAMS/psql" -XqtA -h "$PLACE" -U postgres -v ON_ERROR_STOP=1 "$@"
}

"${AS[@]}" "$PROGRAMS/initdb" -D "$PLACE/data" -U postgres --auth=trust >/dev/null
"${AS[@]}" "$PROGRAMS/pg_ctl" start --silent --wait -D "$PLACE/data" -l "$PLACE/log" \
  -o "-c listen_addresses='' -c unix_socket_directories=$PLACE"
sql -c "CREATE TABLE kept (number int)"
# There is no standby of that name.
sql -c "ALTER SYSTEM SET synchronous_standby_names = 'missing'" -c "SELECT pg_reload_conf()" >/dev/null
until [[ $(sql -c "SHOW synchronous_standby_names") == missing ]]; do sleep 0.1; done

WAITING="FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
# Begins a commit with some options of libpq, and waits until it waits.
begin() {
  PGOPTIONS=$1 sql -c "INSERT INTO kept VALUES (1)" 2>/dev/null &
  WRITER=$!
  until [[ $(sql -c "SELECT count(*) $WAITING") == 1 ]]; do sleep 0.1; done
}
# Keeps what the writer was told.
answer() {
  ANSWER="no answer"
  ! wait "$WRITER" || ANSWER="done"
}

begin "-c statement_timeout=1000"
sleep 3
TIMED=$([[ $(sql -c "SELECT count(*) $WAITING") == 1 ]] && echo "still waiting" || echo "ended")
sql -c "SELECT pg_cancel_backend(pid) $WAITING" >/dev/null
answer
CANCELLED=$ANSWER
begin ""
sql -c "SELECT pg_terminate_backend(pid) $WAITING" >/dev/null
answer
echo "with statement_timeout $TIMED; cancelled $CANCELLED; terminated $ANSWER"
[[ $TIMED == "still waiting" && $CANCELLED == "done" && $ANSWER == "no answer" ]]
