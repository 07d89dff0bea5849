"""One person is one account, in whichever spelling of its name."""

import io

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command

from sessions_app.models import ApiToken
from tests.factories import acquire, api_of, let_go, make_item, make_user, make_workstation
from tests.integration.admin_site import client_of

pytestmark = pytest.mark.django_db

NAME = "jürgen.ß"
SPELLINGS = ["Jürgen.ß", "JU\u0308RGEN.SS", "ju\u0308rgen.ß"]


@pytest.fixture
def jurgen():
    return make_user(NAME)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_token_is_made_for_the_account_that_is_there(jurgen, spelling):
    out, err = io.StringIO(), io.StringIO()
    call_command(
        "createtoken", spelling, "--create-user", "--role", "editor", stdout=out, stderr=err
    )
    assert err.getvalue() == f"{spelling} is the user {NAME}.\n"
    assert ApiToken.objects.get().user == jurgen
    assert get_user_model().objects.count() == 1


def test_the_exact_name_comes_first_where_twins_are_there_from_before(jurgen):
    twin = make_user("Jürgen.ß")
    call_command("createtoken", "Jürgen.ß", stdout=io.StringIO())
    assert ApiToken.objects.get().user == twin


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_second_account_is_made(jurgen, spelling):
    root = client_of(make_user("root", None, is_superuser=True, is_staff=True))
    body = {
        "username": spelling,
        "usable_password": "false",
        "password1": "",
        "password2": "",
    }
    answer = root.post("/admin/auth/user/add/", body)
    # What differs in capitals or composition only Django itself finds, first.
    said = str(answer.context["errors"])
    assert f"There is the user {NAME}" in said or "A user with that username already exists" in said
    with pytest.raises(CommandError, match=f"There is the user {NAME}"):
        call_command("createsuperuser", "--noinput", username=spelling, email="")
    assert get_user_model().objects.count() == 2


def test_twins_of_before_can_still_be_changed(jurgen):
    make_user("Jürgen.ß")
    jurgen.full_clean(exclude=["password"])
    jurgen.first_name = "Jürgen"
    jurgen.full_clean(exclude=["password"])


@pytest.mark.parametrize("name", ["a\u200bda", "ada\u2060"])
def test_usernames_with_invisible_characters_are_refused(name):
    with pytest.raises(CommandError, match=r"cannot be seen"):
        call_command("createtoken", name, "--create-user")
    with pytest.raises(CommandError):
        call_command("createsuperuser", "--noinput", username=name, email="")


@pytest.mark.parametrize("spelling", [NAME, *SPELLINGS])
def test_filters_find_the_user_in_every_spelling(jurgen, spelling):
    workstation, item = make_workstation(jurgen), make_item()
    let_go(acquire(workstation, item).session.pk)
    acquire(workstation, item)
    acquire(make_workstation(make_user("other")), item, "X")
    api = api_of(jurgen)
    for path, member in (
        ("/api/edit-sessions", "sessions"),
        ("/api/edit-sessions/history", "history"),
    ):
        query = {"user": spelling} | ({"all": "true"} if member == "sessions" else {})
        found = api("GET", path, query_params=query).json()[member]
        assert [one["user"] for one in found] == [NAME]
        nobody = api("GET", path, query_params=query | {"user": "nobody"}).json()[member]
        assert nobody == []


def test_migrate_names_the_twins_of_before_and_goes_on(jurgen, caplog):
    make_user("Jürgen.ß")
    make_user("ada")
    call_command("migrate", verbosity=0)
    [record] = [one for one in caplog.records if "differ in spelling only" in one.getMessage()]
    assert record.users == f"{NAME}, Jürgen.ß"
