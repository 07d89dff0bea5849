"""Accounts of users of a provider: log-ins at once, who takes nothing over, and what a usual log-in writes."""

import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from sessions_app import openid_accounts
from sessions_app.models import OpenIdAccount
from sessions_app.openid_accounts import Identity, NoEntry, account_of
from sessions_app.roles import Role
from tests.factories import make_user
from tests.waiting import PATIENCE_SECONDS, eventually, waiting_for_locks

pytestmark = pytest.mark.django_db
ADA = Identity("https://login.example.com", "a-1", "ada", "Ada", "Lovelace", Role.EDITOR)


def enter(identity=ADA, **how):
    return account_of(identity, **({"gives_roles": True, "take_over": False} | how))


def test_of_two_first_log_ins_at_once_both_get_the_one_account(monkeypatch):
    made = enter()
    known = openid_accounts._known
    # The other one has committed just after this one has looked.
    looks = [lambda _: None, known]
    monkeypatch.setattr(openid_accounts, "_known", lambda identity: looks.pop(0)(identity))
    monkeypatch.setattr(openid_accounts.accounts, "find", lambda _: None)
    monkeypatch.setattr(openid_accounts, "_check_name", lambda _: None)
    assert enter() == made
    assert not looks
    assert (User.objects.count(), OpenIdAccount.objects.count()) == (1, 1)


def test_a_usual_log_in_writes_nothing():
    enter()
    with CaptureQueriesContext(connection) as captured:
        enter()
    assert not [q for q in captured if q["sql"].startswith(("UPDATE", "INSERT", "DELETE"))]


@contextmanager
def beside(work):
    """Has another server do something as soon as the body has, and lets that wait until the body is committed."""

    def there():
        try:
            return work()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool, transaction.atomic():
        futures = []
        yield futures
        futures.append(pool.submit(there))
        eventually(waiting_for_locks)


def ended(futures):
    [future] = futures
    return future.result(PATIENCE_SECONDS)


@pytest.mark.usefixtures("committed_db")
def test_of_two_people_with_one_name_at_once_one_takes_the_account_over():
    ada = make_user("ada")
    with beside(lambda: enter(replace(ADA, subject="a-2"), take_over=True)) as other:
        assert enter(take_over=True) == ada
    with pytest.raises(NoEntry, match="belongs to another"):
        ended(other)
    assert OpenIdAccount.objects.get().subject == ADA.subject


@pytest.mark.usefixtures("committed_db")
def test_of_two_log_ins_at_once_of_one_person_both_take_the_account_over():
    ada = make_user("ada")
    with beside(lambda: enter(take_over=True)) as other:
        assert enter(take_over=True) == ada
    assert ended(other) == ada
    assert OpenIdAccount.objects.get().user == ada


@pytest.mark.usefixtures("committed_db")
def test_an_account_that_is_deleted_while_its_user_logs_in_is_made_again():
    before = enter()
    with beside(enter) as other:
        User.objects.all().delete()
    assert ended(other) == User.objects.get()
    assert ended(other).pk != before.pk


@pytest.mark.parametrize("take_over", [True, False])
def test_nobody_without_a_role_takes_an_account_over_or_learns_its_name(take_over):
    root = make_user("Ada", Role.EDITOR, is_superuser=True, is_staff=True)
    with pytest.raises(NoEntry) as refused:
        enter(replace(ADA, role=None), take_over=take_over)
    assert refused.value.why == "no role"
    assert "Ada" not in refused.value.message + refused.value.username
    assert not OpenIdAccount.objects.exists()
    root.refresh_from_db()
    assert root.is_staff
    assert root.groups.exists()


def test_a_refused_one_does_not_learn_how_the_name_is_spelled_here():
    make_user("Ada")
    with pytest.raises(NoEntry, match="The name ada belongs to another"):
        enter()


def test_a_deactivated_account_is_not_linked():
    make_user("ada", is_active=False)
    with pytest.raises(NoEntry, match="deactivated"):
        enter(take_over=True)
    assert not OpenIdAccount.objects.exists()


def test_the_name_of_a_refused_one_is_logged_in_part():
    for role in (None, Role.EDITOR):
        with pytest.raises(NoEntry) as refused:
            enter(replace(ADA, username="x" * 200_003, role=role))
        assert refused.value.username == "x" * openid_accounts.NAME_MAX


def test_what_is_committed_is_logged(caplog, django_capture_on_commit_callbacks):
    caplog.set_level(logging.INFO, openid_accounts.__name__)
    with django_capture_on_commit_callbacks() as kept:
        enter()
    assert not caplog.messages
    for log in kept:
        log()
    assert caplog.messages == ["account linked", "role set by the provider"]


def test_a_superuser_keeps_all_rights():
    root = make_user("ada", None, is_superuser=True, is_staff=True)
    with pytest.raises(NoEntry, match="belongs to another"):
        enter()
    assert enter(take_over=True) == root
    assert enter(replace(ADA, role=None)) == root
    root.refresh_from_db()
    assert root.is_staff
    assert Role.of(root) == Role.ADMIN


def test_other_groups_are_kept():
    ada = enter()
    night = ada.groups.create(name="night shift")
    enter(Identity(ADA.issuer, ADA.subject, "ada", "Ada", "Lovelace", Role.VIEWER))
    assert set(ada.groups.values_list("name", flat=True)) == {night.name, "viewer"}
