"""`manage.py createtoken`."""

from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.utils import timezone

from sessions_app.authentication import principal_of_token
from sessions_app.models import ApiToken
from sessions_app.roles import Role
from tests.factories import make_user

pytestmark = pytest.mark.django_db


def create(*arguments):
    out = StringIO()
    call_command("createtoken", *arguments, stdout=out)
    assert out.getvalue().endswith("\n")
    return out.getvalue()[:-1]


def check_refused(message, *arguments):
    out = StringIO()
    users, tokens = get_user_model().objects.count(), ApiToken.objects.count()
    with pytest.raises(CommandError, match=message):
        call_command("createtoken", *arguments, stdout=out)
    assert out.getvalue() == ""
    assert (get_user_model().objects.count(), ApiToken.objects.count()) == (users, tokens)


def test_it_prints_the_token_alone_and_keeps_only_its_hash():
    make_user("ada")
    token = create("ada")
    assert token.isprintable()
    assert " " not in token
    assert token not in str(ApiToken.objects.values().get())
    assert principal_of_token(token).user.username == "ada"


@pytest.mark.parametrize("role", Role)
def test_the_token_has_the_role_that_was_asked_for(role):
    make_user("ada", Role.ADMIN)
    assert principal_of_token(create("ada", "--role", role.group)).role == role


def test_it_is_a_viewers_without_a_role():
    make_user("ada", Role.ADMIN)
    assert principal_of_token(create("ada")).role == Role.VIEWER


@pytest.mark.parametrize(("name", "kept"), [([], "editor token"), (["--name", "CAD Ω"], "CAD Ω")])
def test_it_has_a_name(name, kept):
    make_user("ada")
    create("ada", "--role", "editor", *name)
    assert ApiToken.objects.get().name == kept


def test_it_has_no_end_unless_one_is_given():
    make_user("ada")
    create("ada")
    assert ApiToken.objects.get().expires_at is None


@pytest.mark.parametrize("days", ["0.5", "1", "30", "3660"])
def test_it_may_end_after_some_days(days):
    make_user("ada")
    token = create("ada", "--days", days)
    left = ApiToken.objects.get().expires_at - timezone.now()
    assert abs(left - timedelta(days=float(days))) < timedelta(minutes=1)
    assert principal_of_token(token)


@pytest.mark.parametrize("days", ["0", "-1", "nan", "inf", "3661", "1e300", "1e-300", "1e-12"])
def test_other_days_are_refused(days):
    make_user("ada")
    check_refused(r"--days (must be|is too small)", "ada", f"--days={days}")


def test_days_are_a_number():
    make_user("ada")
    check_refused("--days", "ada", "--days", "soon")


def test_an_unknown_role_is_refused():
    make_user("ada")
    check_refused("--role", "ada", "--role", "king")


def test_an_unknown_user_is_refused():
    check_refused("no user ada; --create-user makes one", "ada")


@pytest.mark.parametrize("role", Role)
def test_or_made_in_that_role_without_a_password(role):
    token = create("ada", "--role", role.group, "--create-user")
    ada = get_user_model().objects.get()
    assert not ada.has_usable_password()
    assert not ada.is_staff
    assert Role.of(ada) == principal_of_token(token).role == role


def test_a_user_who_is_there_is_not_made_again():
    ada = make_user("ada")
    assert principal_of_token(create("ada", "--create-user")).user == ada


@pytest.mark.parametrize("flags", [[], ["--create-user"]])
def test_a_token_cannot_allow_more_than_its_user_may(flags):
    make_user("ada", Role.VIEWER)
    check_refused("ada is viewer; a token cannot allow more", "ada", "--role", "editor", *flags)


def test_a_user_without_a_role_gets_none():
    make_user("ada", None)
    check_refused("without a role", "ada")


def test_a_superuser_needs_no_group():
    make_user("ada", None, is_superuser=True)
    assert principal_of_token(create("ada", "--role", "admin")).role == Role.ADMIN


def test_a_deactivated_user_gets_none():
    make_user("ada", is_active=False)
    check_refused("ada is deactivated", "ada")


@pytest.mark.parametrize("name", ["", " ", "a b", "a/b", "x" * 151, "\0", "a\nb", "\ud800"])
def test_an_invalid_username_is_refused(name):
    check_refused("not a username|plain text", name, "--create-user")


@pytest.mark.parametrize("name", ["\0", "a\nb", "\ud800", "x" * 201])
def test_a_bad_name_is_refused(name):
    make_user("ada")
    check_refused("--name", "ada", "--name", name)


def test_each_call_makes_another():
    make_user("ada")
    assert create("ada") != create("ada")
    assert ApiToken.objects.count() == 2
