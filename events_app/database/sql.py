"""All raw SQL of the project: statements that the ORM cannot express."""

import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from django.conf import settings
from django.db import connection, models, transaction
from pydantic_core import to_json

from events_app.database import names
from events_app.database.round_trip import Query, Row, rows_of, together

NOTIFY_CHANNEL: Final = "silo_events"

# Arbitrary constants, unique in this database; PostgreSQL's advisory locks are plain numbers.
LOG_LOCK_ID: Final = 0x51_10_E7_E5
CLEAN_UP_LOCK_ID: Final = 0x51_10_DE_AD


def lock_event_log() -> None:
    """Take the event log's lock, the last of the transaction, held to its end; its commit wakes every relay.

    Deferred foreign keys are checked first, because they may wait for other rows.
    """
    together(*_LOCK_LOG, Query("SELECT pg_notify(%s, '')", [NOTIFY_CHANNEL]))


def append_to_log(
    entries: Sequence[Mapping[str, Any]],
    portions: Sequence[tuple[int, str]],
    ahead: Sequence[Query],
    *,
    commits: bool,
) -> list[int]:
    """Take the event log's lock as `lock_event_log`, and append entries, in one round trip.

    The commit notifies every relay of the entries (`events_app/log/notification.py`).

    Args:
        entries: `channels`, `audience`, `type` and `data` of each, in their order.
        portions: of each notification how many entries come before it, and its content; "" for none.
        ahead: statements that go first, in the same round trip.
        commits: whether the transaction may be committed in it; see `together`.

    Returns:
        Their ids, ascending.
    """
    before, contents = zip(*portions, strict=True)
    append = Query(
        _APPEND_TO_LOG,
        [_json_of(entries), NOTIFY_CHANNEL, list(before), list(contents)],
        is_hot=True,
    )
    [(ids, _)] = together(*ahead, *_LOCK_LOG, append, commits=commits)[-1]
    return list(ids)


# Each statement sees what was committed when it began, so the lock is taken by one of its own, before the append.
_LOCK_LOG: Final = [
    Query("SET CONSTRAINTS ALL IMMEDIATE", [], is_hot=True),
    Query("SELECT pg_advisory_xact_lock(%s::bigint)", [LOG_LOCK_ID], is_hot=True),
]
# `log` sees the log as it was before this statement's entries. The relays read the log, too, where the sequence left
# numbers out, which it does not do under the log's lock, and where the database's encoding needs more bytes than UTF-8.
_APPEND_TO_LOG: Final = """
    WITH log AS (
        SELECT epoch, greatest(trimmed_through, (SELECT max(id) FROM events_app_logentry)) AS last
        FROM events_app_eventlog
    ), entry AS (
        INSERT INTO events_app_logentry (channels, audience, type, data)
        SELECT channels, audience, type, data
        FROM ROWS FROM (
            json_to_recordset(%s::json) AS (channels text[], audience bigint, type text, data text)
        ) WITH ORDINALITY AS one (channels, audience, type, data, place)
        ORDER BY place
        RETURNING id
    ), appended AS (
        SELECT array_agg(id ORDER BY id) AS ids, max(id) - min(id) = count(*) - 1 AS gapless FROM entry
    )
    SELECT ids, ARRAY(
        SELECT pg_notify(%s::text, CASE WHEN gapless AND content <> '' AND octet_length(content) < 7950
            THEN concat_ws(' ', epoch, CASE before WHEN 0 THEN last ELSE ids[before] END, ids[before + 1] || content)
            ELSE '' END)::text
        FROM unnest(%s::int[], %s::text[]) portion (before, content)
    )
    FROM log, appended
"""


def insert(
    model: type[models.Model], rows: Sequence[Mapping[str, Any]], *returning: str
) -> list[Row]:
    """Insert many rows in their order, by one statement; return these columns of each. See `inserting`."""
    return rows_of(inserting(model, rows, *returning))


def inserting(
    model: type[models.Model], rows: Sequence[Mapping[str, Any]], *returning: str
) -> Query:
    """Return the statement that inserts many rows in their order, and returns these columns of each.

    The rows go to PostgreSQL as one JSON text. `bulk_create` writes every value of every row by itself: 1,000 log
    entries took it 133 ms and take 32 so, 1,000 records 146 and 65.

    Args:
        model: the table.
        rows: values by column, all of the same columns; the others get the database's defaults.
        returning: the columns.
    """
    quote = connection.ops.quote_name
    table = quote(model._meta.db_table)
    columns = ", ".join(map(quote, rows[0]))
    returned = f" RETURNING {', '.join(map(quote, returning))}" if returning else ""
    return Query(
        f"INSERT INTO {table} ({columns})"  # noqa: S608  (the names are the model's own)
        f" SELECT {columns} FROM json_populate_recordset(NULL::{table}, %s::json) WITH ORDINALITY ORDER BY ordinality"
        + returned,
        [_json_of(rows)],
        is_hot=True,
    )


def drawing(sequence: str, count: int) -> Query:
    """Return the statement that draws so many numbers of a sequence; each row has one, and the statement's time."""
    return Query(
        "SELECT nextval(%s::text::regclass), statement_timestamp() FROM generate_series(1, %s::int)",
        [sequence, count],
        is_hot=True,
    )


def _json_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as JSON; ids and times are written as PostgreSQL reads them, to the microsecond."""
    return to_json(rows).decode()


def hold_server_process(process_id: uuid.UUID) -> bool:
    """Keep a server process's row from being given up and deleted; its beat does not wait. False if there is none."""
    return bool(rows_of(holding_server_process(process_id)))


def holding_server_process(process_id: uuid.UUID) -> Query:
    """Return the query of `hold_server_process`; it has a row if there is one."""
    return Query(
        "SELECT 1 FROM events_app_serverprocess WHERE id = %s AND NOT given_up FOR KEY SHARE",
        [process_id],
        is_hot=True,
    )


def inserting_connections(
    process_id: uuid.UUID, rows: Sequence[tuple[uuid.UUID, uuid.UUID, float, bool, str, str]]
) -> Query:
    """Return the query that inserts streams of a server process; those that have a row get it and are dated anew.

    Args:
        process_id: the process.
        rows: of each stream its id, its key, its age in seconds by now, whether its client acknowledges, its machine
            and its address.
    """
    columns = [list(column) for column in zip(*rows, strict=True)]
    return Query(_INSERT_CONNECTIONS, [process_id, *columns], is_hot=True)


_INSERT_CONNECTIONS: Final = """
    INSERT INTO events_app_connection (id, key, process_id, opened_at, ack, machine, address)
    SELECT id, key, %s::uuid, statement_timestamp() - make_interval(secs => age), ack, machine, address
    FROM unnest(%s::uuid[], %s::uuid[], %s::float8[], %s::bool[], %s::text[], %s::text[])
        one (id, key, age, ack, machine, address)
    ON CONFLICT (id) DO UPDATE SET process_id = excluded.process_id, opened_at = excluded.opened_at
"""


def try_clean_up_lock() -> bool:
    """Take, until this transaction's end, the lock for cleaning up after dead processes; return False if it is held."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [CLEAN_UP_LOCK_ID])
        (taken,) = cursor.fetchone()
    return bool(taken)


def lock_table(table: str) -> None:
    """Lock a table against every other reader and writer until this transaction's end."""
    with connection.cursor() as cursor:
        cursor.execute(f"LOCK TABLE {connection.ops.quote_name(table)} IN ACCESS EXCLUSIVE MODE")


def last_of_sequence(sequence: str) -> int:
    """Return the last value that a sequence has given, as far as this database knows; 0 if there is none."""
    return answer_to("SELECT pg_sequence_last_value(%s::regclass)", sequence)[0][0] or 0


def setting(name: str) -> str:
    """Return a setting of this database session; empty if it is not set."""
    return answer_to("SELECT current_setting(%s, true)", name)[0][0] or ""


def set_for_transaction(name: str, value: str) -> None:
    """Change a setting of this database session until this transaction's end."""
    answer_to("SELECT set_config(%s, %s, true)", name, value)


def set_for_session(name: str, value: str) -> None:
    """Change a setting of this database session until its end."""
    answer_to("SELECT set_config(%s, %s, false)", name, value)


def set_sequence(sequence: str, last: int) -> None:
    """Have a sequence go on after a value; a rollback does not undo it."""
    answer_to("SELECT setval(%s, %s)", sequence, last)


@contextmanager
def one_snapshot() -> Iterator[None]:
    """Run a read-only transaction whose statements all see the database at one moment.

    Inside another transaction (a test's) the statements see what that one sees.
    """
    outermost = not connection.in_atomic_block
    with transaction.atomic():
        if outermost:
            together(Query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY", []))
        yield


# Lets this transaction's commit not wait for the disk. Only for writes that may be lost in a crash.
COMMIT_ASYNCHRONOUSLY: Final = Query("SET LOCAL synchronous_commit = off", [], is_hot=True)


def write_for_probe() -> None:
    """Write a row and a message that prove that the database can be written, and leave nothing behind.

    The row needs a new block of the disk each time, as its table is emptied by the commit. The message goes into the
    write-ahead log, so that the commit is acknowledged as any other; nothing reads it.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TEMPORARY TABLE IF NOT EXISTS silo_probe (written int) ON COMMIT DELETE ROWS"
        )
        cursor.execute(
            "INSERT INTO pg_temp.silo_probe"
            " SELECT 1 FROM pg_logical_emit_message(true, 'silo', 'ready')"
        )


def standbys() -> tuple[int, bool]:
    """Return how many standbys acknowledge commits, and whether this user may see that; who may not sees none."""
    [(found, visible)] = answer_to(
        "SELECT count(*) FILTER (WHERE state = 'streaming' AND sync_state IN ('sync', 'quorum')),"
        " pg_has_role('pg_read_all_stats', 'USAGE') FROM pg_stat_replication"
    )
    return int(found), bool(visible)


def read_log(
    channels: Collection[str], after_id: int, limit: int, most_bytes: int
) -> list[tuple[int, str, str, int]]:
    """Return the entries of any of these channels after an id, in order, until there are so many or so large.

    Returns:
        Of each its id, type and data, and how many bytes the data has together with those before.
    """
    with connection.cursor() as cursor:
        some = list(channels)
        cursor.execute(READ_LOG, [some, some, after_id, limit, most_bytes])
        rows: list[tuple[int, str, str, int]] = cursor.fetchall()
    return rows


# The length of a text is known without reading it, and only the rows returned are read.
READ_LOG: Final = """
    SELECT id, type, data, bytes FROM (
        SELECT *, sum(octet_length(data)) OVER (ORDER BY id) AS bytes
        FROM (
            SELECT id, type, data FROM events_app_logentry
            WHERE (
                channels && %s::text[]
                OR audience = ANY(ARRAY(SELECT id FROM events_app_audience WHERE channels && %s::text[]))
            ) AND id > %s ORDER BY id LIMIT %s
        ) page
    ) sized
    WHERE bytes - octet_length(data) < %s
    ORDER BY id
"""


# For a connection outside of Django's.
APPLIED_MIGRATIONS: Final = "SELECT app, name FROM django_migrations"
SINGLE_ROWS: Final = (
    "SELECT EXISTS (SELECT FROM events_app_eventlog), EXISTS (SELECT FROM events_app_observation)"
)


def applied_migrations() -> frozenset[tuple[str, str]]:
    """Return the migrations of the database, each with its app; none where it has no table of them.

    Raises:
        django.db.Error: the database cannot be asked.
    """
    with connection.cursor() as cursor:
        # A statement that fails would end the caller's transaction.
        cursor.execute("SELECT to_regclass('django_migrations') IS NOT NULL")
        if not cursor.fetchone()[0]:
            return frozenset()
        cursor.execute(APPLIED_MIGRATIONS)
        return frozenset(cursor.fetchall())


# Connections of programs to this database. An autovacuum worker has no user; it gives way to whoever waits for it.
OTHERS: Final = """
    SELECT pid, coalesce(application_name, ''), coalesce(host(client_addr), '')
    FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
    ORDER BY 2, 3, 1
"""
# Transactions of others that hold locks on tables or indexes. Names of other users' are seen by administrators only.
LOCKING: Final = """
    SELECT DISTINCT held.virtualtransaction, held.pid, coalesce(application_name, ''), coalesce(host(client_addr), '')
    FROM pg_locks held
    JOIN pg_class ON pg_class.oid = held.relation
    JOIN pg_stat_activity activity ON activity.pid = held.pid AND activity.usesysid IS NOT NULL
    WHERE held.locktype = 'relation' AND held.granted AND held.pid <> pg_backend_pid()
        AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND pg_class.relnamespace NOT IN ('pg_catalog'::regnamespace, 'pg_toast'::regnamespace)
    ORDER BY held.pid
"""


END_OWN: Final = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = ANY(%s) AND usename = current_user"


def let_others_write(may: bool) -> None:
    """Have connections that are made to this database from now on write, or only read unless they say otherwise."""
    [(name,)] = answer_to("SELECT current_database()")
    value = "DEFAULT" if may else "on"
    database = connection.ops.quote_name(name)
    answer_to(f"ALTER DATABASE {database} SET default_transaction_read_only = {value}")


def answer_to(statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Return the rows of a statement; none where it returns nothing."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters or None)
        return list(cursor.fetchall()) if cursor.description else []


def parameters_for(purpose: str) -> dict[str, Any]:
    """Return psycopg's connection parameters for a connection outside of Django's.

    Args:
        purpose: what the database calls it.
    """
    name = names.named(settings.EVENTS_DATABASE_CLIENT, purpose)
    return {**listen_parameters(), "application_name": name}


def listen_parameters() -> dict[str, Any]:
    """Return psycopg's connection parameters for a connection outside of Django's."""
    parameters: dict[str, Any] = connection.get_connection_params()
    ours = {"cursor_factory", "context", "prepare_threshold", "server_side_binding", "pool"}
    return {key: value for key, value in parameters.items() if key not in ours}


def listen(channel: str) -> str:
    """Return the statement by which a connection outside of Django's listens to a channel."""
    return f"LISTEN {connection.ops.quote_name(channel)}"


# Its answer shows that a connection works.
PROOF_OF_LIFE: Final = b"SELECT 1"

# The relay's statements: it has a connection of its own, which the ORM does not know.
LISTEN: Final = f"LISTEN {NOTIFY_CHANNEL}"
# A server notifies itself on another channel: no other relay has to read the log for it.
ROUND_TRIP_CHANNEL: Final = "silo_round_trip"
LISTEN_ROUND_TRIP: Final = f"LISTEN {ROUND_TRIP_CHANNEL}"
NOTIFY_ROUND_TRIP: Final = f"SELECT pg_notify('{ROUND_TRIP_CHANNEL}', %s)"
# Always at least one row, so that epoch and trimming are of the same moment as the entries. The channels of an audience
# come with its first entry of the page.
LOG_AFTER: Final = """
    SELECT log.epoch, log.trimmed_through, entry.id, entry.channels, entry.audience,
        CASE WHEN entry.first THEN (SELECT channels FROM events_app_audience WHERE id = entry.audience) END,
        entry.type, entry.data, entry.bytes
    FROM events_app_eventlog log
    LEFT JOIN LATERAL (
        SELECT * FROM (
            SELECT *, sum(octet_length(data)) OVER (ORDER BY id) AS bytes,
                row_number() OVER (PARTITION BY audience ORDER BY id) = 1 AS first
            FROM (SELECT * FROM events_app_logentry WHERE id > %s ORDER BY id LIMIT %s) page
        ) sized
        WHERE bytes - octet_length(data) < %s
    ) entry ON true
    ORDER BY entry.id
"""
LOG_HEAD: Final = """
    SELECT log.epoch, greatest(log.trimmed_through, (SELECT max(id) FROM events_app_logentry))
    FROM events_app_eventlog log
"""
