"""What one server does to a token, every other one refuses within a second, also where it hears of nothing."""

import os
import signal
import time

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.db.models.functions import Now

from events_app.database.notified_cache import TRUSTED_SECONDS
from sessions_app.models import ApiToken
from tests.waiting import eventually

LISTENERS = "FROM pg_stat_activity WHERE application_name = 'silo notifications' AND datname = current_database()"
# How often the columns of tokens were asked for by their digest.
LOOK_UPS = """
    SELECT seq_scan + idx_scan FROM pg_stat_user_tables WHERE relname = 'sessions_app_apitoken'
"""


def statuses(client):
    """What each kind of request is answered: of Django, `alive` and a stream."""
    workstation = "00000000-0000-0000-0000-000000000001"
    return {
        client.call("GET", "/api/workstations").status_code,
        client.call("POST", f"/api/workstations/{workstation}/alive").status_code,
        client.call("GET", f"/api/events?workstation_id={workstation}").status_code,
    }


def wait_until_it_is_known(client, after, changed_at):
    """Wait until these are the answers, as they are for whoever asks once what was known is not trusted any more."""
    while True:
        asked_at = time.monotonic()
        if (answered := statuses(client)) == after:
            return
        assert asked_at < changed_at + TRUSTED_SECONDS, answered


def look_ups():
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(LOOK_UPS)
        return cursor.fetchone()[0]


def revoke():
    ApiToken.objects.update(revoked_at=Now())


def deactivate():
    get_user_model().objects.update(is_active=False)


def take_role():
    get_user_model().objects.get().groups.clear()


@pytest.mark.parametrize(
    ("change", "after"), [(revoke, {401}), (deactivate, {401}), (take_role, {403})]
)
def test_every_server_notices_a_change_within_a_second(serve, client_of, change, after):
    ada, other = client_of(serve()), serve()
    servers = [ada.server, other]
    for ada.server in servers:
        assert statuses(ada) == {200, 404}
    change()
    changed_at = time.monotonic()
    for ada.server in servers:
        wait_until_it_is_known(ada, after, changed_at)


def test_requests_with_a_known_token_do_not_look_it_up(serve, client_of):
    ada = client_of(serve())
    statuses(ada)
    eventually(lambda: look_ups() > 0)
    before = eventually(lambda: _settled(look_ups), "statistics come late")
    for _ in range(10):
        assert statuses(ada) == {200, 404}
    # Of 30 requests; on a loaded machine a proof of life may be late.
    assert _settled(look_ups) - before <= 10


def _settled(count):
    """A count that has been the same for a second, in which PostgreSQL's backends report."""
    last, since = count(), time.monotonic()
    while time.monotonic() - since < 1.5:
        if (now := count()) != last:
            last, since = now, time.monotonic()
    return last


def listener():
    """The backend of the only listening connection: once this server has one, and what ran before has none any more."""

    def only():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_stat_clear_snapshot()")
            cursor.execute(f"SELECT pid {LISTENERS}")
            pids = cursor.fetchall()
        return pids[0] if len(pids) == 1 else None

    return eventually(only, "one listening connection")[0]


@pytest.fixture
def freeze_listener():
    """Stop the backend of the listening connection: it stands, nothing comes by it, and nobody knows that."""
    frozen = []

    def freeze():
        pid = listener()
        os.kill(pid, signal.SIGSTOP)
        frozen.append(pid)

    yield freeze
    for pid in frozen:
        os.kill(pid, signal.SIGCONT)


def test_a_server_to_which_nothing_comes_looks_up_again(serve, client_of, freeze_listener):
    ada = client_of(serve())
    assert statuses(ada) == {200, 404}
    freeze_listener()
    revoke()
    wait_until_it_is_known(ada, {401}, time.monotonic())


def test_a_server_whose_listening_connection_is_cut_looks_up_again(serve, client_of):
    ada = client_of(serve())
    assert statuses(ada) == {200, 404}
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [listener()])
        assert cursor.fetchall() == [(True,)]
    revoke()
    wait_until_it_is_known(ada, {401}, time.monotonic())
