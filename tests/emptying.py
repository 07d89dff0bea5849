"""Empties the database after a test that commits, in a thirtieth of the time of Django's `flush`.

`flush` truncates, for which PostgreSQL makes new files for a hundred tables and indexes, and has Django look which
permissions are missing.
"""

from typing import Final

from django.apps import apps
from django.db import connection, transaction

from events_app.database import single_rows

# What `migrate` fills is copied before the first test, and copied back after each.
FILLED: Final = ("django_content_type", "auth_permission", "auth_group")
COPIES: Final = "copied_by_tests"
# Deleted rows stay in the files. From so many bytes on the tables are truncated.
LARGE_BYTES: Final = 2_000_000


def keep() -> None:
    """Copy what `migrate` has filled."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"DROP SCHEMA IF EXISTS {COPIES} CASCADE; CREATE SCHEMA {COPIES}")
        for table in FILLED:
            cursor.execute(f"CREATE TABLE {COPIES}.{table} AS TABLE {table}")


def empty() -> None:
    """Leave what `migrate` leaves; wait for what a killed process has not finished."""
    tables = connection.introspection.django_table_names(include_views=False)
    deletes = "; ".join(f"DELETE FROM {table}" for table in tables)
    every = ", ".join(tables)
    with transaction.atomic(), connection.cursor() as cursor:
        # No trigger is asked: neither those of the foreign keys nor the one that keeps the record as it is. In a
        # deadlock with what a killed process has not finished, that ends: it looks for one after a second. So an
        # autovacuum of a large table is waited for, which PostgreSQL would end when this one looks for a deadlock.
        cursor.execute(f"""
            SET LOCAL session_replication_role = replica;
            SET LOCAL deadlock_timeout = '30s';
            SET LOCAL lock_timeout = '60s';
            LOCK TABLE {every};
            DO $$ BEGIN
                IF (SELECT sum(pg_table_size(name::regclass)) > {LARGE_BYTES} FROM unnest('{{{every}}}'::text[]) name)
                THEN TRUNCATE {every};
                ELSE {deletes};
                END IF;
            END $$;
        """)
        for table in FILLED:
            cursor.execute(f"INSERT INTO {table} SELECT * FROM {COPIES}.{table}")
        single_rows.create(apps, "default")
