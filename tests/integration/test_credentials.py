"""Each change of what a token allows clears the cache of credentials, and so does the loss of its connection."""

from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db import connection, transaction
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from events_app.database.notification_thread import NotificationThread
from events_app.database.notified_cache import TRUSTED_SECONDS
from sessions_app import credentials, operations
from sessions_app.authentication import principal_of_token
from sessions_app.models import ApiToken
from sessions_app.models.api_token import hashed
from sessions_app.models.results import Wanted
from sessions_app.payloads import acquired_json
from sessions_app.roles import Role
from tests.factories import make_item, make_token, make_user, make_workstation
from tests.waiting import eventually

User = get_user_model()

LISTENERS = "FROM pg_stat_activity WHERE application_name = 'silo notifications' AND datname = current_database()"
# Loaded machines take their time; that a change takes a second at most, tests/processes holds.
WITHIN = 20 * TRUSTED_SECONDS


@pytest.fixture
def token(committed_db):
    return make_token(make_user("ada", Role.EDITOR))


@pytest.fixture
def listening(token):
    thread = NotificationThread(credentials.cache)
    thread.start()
    yield thread
    thread.stop()
    eventually(lambda: thread.ended)


@pytest.fixture
def known(listening, token):
    """A token that is known without a query."""
    _until_known(token)
    return token


def _until_known(token):
    eventually(lambda: principal_of_token(token) and credentials.known(token))


def _queries(token):
    with CaptureQueriesContext(connection) as queries:
        principal = principal_of_token(token)
    return principal, len(queries)


def test_a_known_token_takes_no_query_and_means_the_same(known):
    fresh = make_token(User.objects.get())
    from_cache, none = _queries(known)
    from_database, some = _queries(fresh)
    # Of the token, and the note of its use.
    assert (none, some) == (0, 4)
    assert from_cache.user == from_database.user == User.objects.get()
    assert from_cache.user.get_username() == "ada"
    assert (from_cache.role, from_cache.limit) == (from_database.role, from_database.limit)
    assert from_cache.user.email == User.objects.get().email


def revoke():
    ApiToken.objects.update(revoked_at=Now())


def expire():
    ApiToken.objects.update(expires_at=Now())


def delete_token():
    ApiToken.objects.get().delete()


def deactivate():
    User.objects.update(is_active=False)


def deactivate_in_sql():
    with connection.cursor() as cursor:
        cursor.execute("UPDATE auth_user SET is_active = false")


def delete_user():
    User.objects.get().delete()


def empty():
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE sessions_app_apitoken")


@pytest.mark.parametrize(
    "change",
    [revoke, expire, delete_token, deactivate, deactivate_in_sql, delete_user, empty],
)
def test_what_ends_a_token_is_noticed(known, change):
    change()
    eventually(lambda: credentials.known(known) is None, within=WITHIN)
    assert principal_of_token(known) is None


def leave_group():
    User.objects.get().groups.clear()


def join_group():
    User.objects.get().groups.add(Group.objects.get(name="admin"))


def become_superuser():
    User.objects.update(is_superuser=True)


def rename_group():
    Group.objects.filter(name="editor").update(name="redactor")


def delete_group():
    Group.objects.get(name="editor").delete()


def limit_token():
    ApiToken.objects.update(role="viewer")


@pytest.mark.parametrize(
    ("change", "role"),
    [
        (leave_group, None),
        (join_group, Role.ADMIN),
        (become_superuser, Role.ADMIN),
        (rename_group, None),
        (delete_group, None),
        (limit_token, Role.VIEWER),
    ],
)
def test_a_change_of_role_is_noticed(listening, change, role):
    admins = make_token(make_user("bob", Role.ADMIN))
    ApiToken.objects.exclude(digest=hashed(admins)).delete()
    token = make_token(User.objects.get(username="ada"), Role.ADMIN)
    User.objects.filter(username="bob").delete()
    _until_known(token)
    before = principal_of_token(token).role
    change()
    eventually(lambda: principal_of_token(token).role != before, within=WITHIN)
    assert principal_of_token(token).role == role


@pytest.mark.parametrize("name", ["username", "first_name", "last_name"])
def test_a_renamed_users_name_is_noticed(known, name):
    User.objects.update(**{name: "eve"})
    eventually(lambda: getattr(principal_of_token(known).user, name) == "eve", within=WITHIN)


def test_a_hot_call_asks_nothing_about_its_user_but_whether_he_is_active(known):
    """What the answer and the events say of him is known, too."""
    user = principal_of_token(known).user
    workstation, item = make_workstation(user), make_item()
    wanted = Wanted(item.part_number, "sketch", "", [], None)
    with CaptureQueriesContext(connection) as queries:
        acquired_json(operations.acquire.acquire(user, workstation.pk, wanted, None))
    of_user = [one["sql"] for one in queries if 'FROM "auth_user"' in one["sql"]]
    assert len(of_user) == 1
    assert "is_active" in of_user[0]


def test_a_change_of_another_user_drops_nothing(known):
    bob = make_user("bob", Role.EDITOR)
    bobs = make_token(bob)
    _until_known(bobs)
    User.objects.filter(pk=bob.pk).update(is_active=False)
    eventually(lambda: credentials.known(bobs) is None)
    assert _queries(known)[1] == 0


def test_a_change_that_is_rolled_back_is_not_kept(known):
    with transaction.atomic():
        credentials.cache.notified("")
        become_superuser()
        assert principal_of_token(known).user.is_superuser
        transaction.set_rollback(True)
    assert not principal_of_token(known).user.is_superuser


def test_a_token_expires_without_a_notification(listening, token):
    ApiToken.objects.update(expires_at=Now() + timedelta(seconds=1.5))
    _until_known(token)
    eventually(lambda: principal_of_token(token) is None, within=WITHIN)


def test_a_use_is_still_noted(known):
    """As often as without the cache: it knows a token no longer than until the next use has to be noted."""
    assert ApiToken.objects.get().last_used_at
    assert 0 < ApiToken.objects.with_use().get().good_for().total_seconds() <= 60
    ApiToken.objects.update(last_used_at=Now() - timedelta(seconds=58.5))
    credentials.cache.notified("")
    eventually(
        lambda: (
            principal_of_token(known)
            and ApiToken.objects.filter(last_used_at__gt=Now() - timedelta(seconds=30)).exists()
        ),
        within=WITHIN,
    )


def test_a_lost_connection_empties_the_cache_until_it_is_back(known):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT pg_terminate_backend(pid) {LISTENERS}")
        assert cursor.fetchall() == [(True,)]
    eventually(lambda: credentials.known(known) is None, within=WITHIN)
    _until_known(known)
    revoke()
    eventually(lambda: principal_of_token(known) is None, within=WITHIN)


def test_a_change_while_the_connection_is_lost_is_noticed(known, listening):
    """The thread is gone as if it had been cut off without a word; nothing notifies this process any more."""
    listening.stop()
    eventually(lambda: listening.ended)
    revoke()
    assert principal_of_token(known) is None


def test_neither_token_nor_password_is_kept(known):
    held = repr(vars(credentials.cache))
    assert hashed(known) in held
    assert known not in held
    assert User.objects.get().password not in held or not User.objects.get().password
