"""A server whose notifications get lost, as behind a pooler in transaction mode."""

from contextlib import contextmanager

import httpx
from django.db import connection

from tests.processes.service import database_url

# With this path it is found before PostgreSQL's own function.
HIDDEN = "options=-c%20search_path%3Dpublic%2Cpg_catalog"


@contextmanager
def no_notifications():
    """PostgreSQL accepts notifications and sends none to those who ask for this path."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION public.pg_notify(text, text) RETURNS void LANGUAGE sql AS 'SELECT'"
        )
        try:
            yield
        finally:
            cursor.execute("DROP FUNCTION public.pg_notify(text, text)")


def test_a_loss_is_found_without_any_event_and_told_until_it_is_over(serve, client_of, part):
    with no_notifications():
        ada = client_of(serve(DATABASE_URL=f"{database_url()}&{HIDDEN}"))
        line = ada.server.line("notifications are lost")
        assert " WARNING " in line
        answer = httpx.get(f"{ada.server.url}/ready")
        assert answer.status_code == 200
        assert "pooler" in answer.json()["warning"]
        watching = ada.stream(all="true")
        ada.acquire(part, ada.workstation())
        watching.event("edit.session_acquired")
    assert " INFO " in ada.server.line("notifications arrive again")
    assert "warning" not in httpx.get(f"{ada.server.url}/ready").json()
    assert sum("notifications are lost" in line for line in ada.server.lines) == 1
