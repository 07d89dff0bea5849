"""Accounts of users of a provider: two first log-ins at once, and what a usual one writes."""

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sessions_app import openid_accounts
from sessions_app.models import OpenIdAccount
from sessions_app.openid_accounts import Identity, NoEntry, account_of
from sessions_app.roles import Role
from tests.factories import make_user

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


def test_a_superuser_keeps_all_rights():
    root = make_user("ada", None, is_superuser=True, is_staff=True)
    nobody = Identity(ADA.issuer, ADA.subject, "ada", "", "", None)
    with pytest.raises(NoEntry, match="belongs to another"):
        enter(nobody)
    assert enter(nobody, take_over=True) == root
    root.refresh_from_db()
    assert root.is_staff
    assert Role.of(root) == Role.ADMIN


def test_other_groups_are_kept():
    ada = enter()
    night = ada.groups.create(name="night shift")
    enter(Identity(ADA.issuer, ADA.subject, "ada", "Ada", "Lovelace", Role.VIEWER))
    assert set(ada.groups.values_list("name", flat=True)) == {night.name, "viewer"}
