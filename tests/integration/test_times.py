"""Times are read as Django reads them."""

from datetime import UTC, datetime

import psycopg
import pytest
from django.db import connection
from django.db.backends.postgresql.psycopg_any import BaseTzLoader

from events_app.database.times import TimeLoader

pytestmark = pytest.mark.django_db


class Djangos(BaseTzLoader):
    timezone = UTC


def read(text: str, loader: type[BaseTzLoader]) -> datetime:
    with connection.connection.cursor() as cursor:
        cursor.adapters.register_loader("timestamptz", loader)
        return cursor.execute("SELECT %s::timestamptz", [text]).fetchone()[0]


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31 12:00:00.123456+00",
        "2026-01-31 12:00:00.1+02:30",
        "2026-01-31 12:00:00+00",
        "0001-01-01 00:00:00+00",
        "9999-12-31 23:59:59.999999+00",
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kolkata"])
def test_a_time_is_the_same(text, zone):
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('TimeZone', %s, true)", [zone])
    try:
        django_reads = read(text, Djangos)
    except psycopg.DataError:
        with pytest.raises(psycopg.DataError):
            read(text, TimeLoader)
        return
    time = read(text, TimeLoader)
    assert (time, time.utcoffset()) == (django_reads, django_reads.utcoffset())


@pytest.mark.parametrize(
    "text", ["infinity", "20000-01-01 00:00:00+00", "0044-03-15 12:00:00+00 BC"]
)
def test_what_python_does_not_know_is_refused(text):
    for loader in (Djangos, TimeLoader):
        with pytest.raises(psycopg.DataError):
            read(text, loader)


def test_connections_read_so():
    connection.ensure_connection()
    assert issubclass(connection.connection.adapters.get_loader(1184, 0), TimeLoader)
