"""`manage.py setrole`, `tokens` and `revoketoken`."""

import logging
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from sessions_app.models import ApiToken
from sessions_app.roles import Role
from tests.factories import api_of, make_token, make_user

pytestmark = pytest.mark.django_db


def run(*words):
    out = StringIO()
    call_command(*words, stdout=out)
    return out.getvalue()


def test_a_role_is_given_instead_of_the_one_before():
    ada = make_user("ada", Role.VIEWER)
    assert run("setrole", "ADA", "admin") == "ada is admin now; before: viewer.\n"
    assert Role.of(ada) == Role.ADMIN
    assert ada.groups.count() == 1
    assert run("setrole", "ada", "editor") == "ada is editor now; before: admin.\n"
    assert Role.of(ada) == Role.EDITOR


def test_a_role_is_set_in_the_log(caplog):
    make_user()
    caplog.set_level(logging.INFO, "sessions_app")
    run("setrole", "ada", "none")
    [said] = [record for record in caplog.records if record.message == "role set"]
    assert (said.user, said.role, said.before) == ("ada", "none", "editor")


def test_a_role_is_taken_away_at_once():
    ada = make_user()
    api = api_of(ada)
    assert api("GET", "/api/items").status_code == 200
    assert run("setrole", "ada", "none") == "ada has no role now; before: editor.\n"
    assert api("GET", "/api/items").status_code == 403


def test_other_groups_stay():
    ada = make_user()
    ada.groups.create(name="welders")
    run("setrole", "ada", "none")
    assert [group.name for group in ada.groups.all()] == ["welders"]


def test_a_role_needs_a_user_who_is_not_a_superuser():
    with pytest.raises(CommandError, match="There is no user eve"):
        run("setrole", "eve", "viewer")
    make_user("root", None, is_superuser=True)
    with pytest.raises(CommandError, match="root is a superuser"):
        run("setrole", "root", "viewer")
    with pytest.raises(CommandError, match="invalid choice"):
        run("setrole", "root", "boss")


def test_tokens_are_listed_without_the_secret():
    token = make_token(make_user())
    make_token(make_user("bob"))
    heading, line = run("tokens", "--user", "ada").splitlines()
    assert heading.split("\t")[:2] == ["PREFIX", "USER"]
    assert line.split("\t") == [token[:13], "ada", "admin", "never", "never", "valid", "test"]
    assert len(run("tokens").splitlines()) == 3
    assert token not in run("tokens")
    with pytest.raises(CommandError, match="There is no user eve"):
        run("tokens", "--user", "eve")


def test_a_token_is_revoked_by_its_prefix():
    token = make_token(make_user())
    other = make_token(make_user("bob"))
    assert run("revoketoken", token[:13]) == f"{token[:13]} of ada is revoked.\n"
    with pytest.raises(CommandError, match="no such token that is not revoked"):
        run("revoketoken", token)
    assert other[:13] in run("tokens")
    assert token[:13] not in run("tokens")
    assert "\trevoked\t" in run("tokens", "--all", "--user", "ada")


def test_or_with_all_of_its_users():
    ada = make_user()
    tokens = [make_token(ada), make_token(ada, Role.VIEWER)]
    kept = make_token(make_user("bob"))
    said = run("revoketoken", "--user", "Ada")
    assert said == "".join(f"{token[:13]} of ada is revoked.\n" for token in tokens)
    assert list(ApiToken.objects.valid().values_list("shown", flat=True)) == [kept[:13]]


@pytest.mark.parametrize("words", [[], ["silo_x", "--user", "ada"], ["--user", "eve"], ["silo_"]])
def test_one_says_which(words):
    make_token(make_user())
    with pytest.raises(CommandError):
        run("revoketoken", *words)
    assert ApiToken.objects.valid().count() == 1
