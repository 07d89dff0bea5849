"""Users in the admin site: a role is chosen, Django's permissions count, and the other groups are kept."""

import re

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sessions_app.roles import Role
from tests.factories import make_user
from tests.integration.admin_site import client_of, listed, make_sessions, text_of

pytestmark = pytest.mark.django_db

PAGE = "/admin/auth/user/"


@pytest.fixture
def root_site():
    return client_of(make_user("root", None, is_staff=True, is_superuser=True))


def posted(client, user, **fields):
    body = {"username": user.username, "is_active": "on", "role": ""} | fields
    answer = client.post(f"{PAGE}{user.pk}/change/", body)
    assert answer.status_code == 302, answer.context["errors"]
    return {group.name for group in user.groups.all()}


def test_a_role_is_chosen_and_other_groups_are_kept(root_site):
    night = Group.objects.create(name="night shift")
    user = make_user("ada", Role.EDITOR)
    user.groups.add(night)
    page = root_site.get(f"{PAGE}{user.pk}/change/")
    form = page.context["adminform"].form
    assert form["role"].value() == "editor"
    assert form.initial["groups"] == [night]
    assert set(form.fields["groups"].queryset) == {night}
    assert 'class="module aligned collapse"' in text_of(page) or "<details" in text_of(page)
    assert posted(root_site, user, role="admin", groups=[night.pk]) == {"admin", "night shift"}
    assert posted(root_site, user, role="viewer", groups=[night.pk]) == {"viewer", "night shift"}
    assert posted(root_site, user, groups=[]) == set()


def test_a_role_that_is_none_is_refused(root_site):
    user = make_user("ada", Role.EDITOR)
    body = {"username": "ada", "is_active": "on", "role": "owner"}
    answer = root_site.post(f"{PAGE}{user.pk}/change/", body)
    assert answer.context["adminform"].form.errors["role"]
    assert Role.of(user) == Role.EDITOR


def test_a_user_is_made_in_a_role(root_site):
    body = {
        "username": "grace",
        "role": "editor",
        "usable_password": "true",
        "password1": "correct horse 9",
        "password2": "correct horse 9",
    }
    assert root_site.post(PAGE + "add/", body).status_code == 302
    assert Role.of(User.objects.get(username="grace")) == Role.EDITOR


def test_who_may_look_only_gives_no_role(onlooker, boss):
    user = make_user("ada", Role.EDITOR)
    for client in (onlooker, boss):
        assert client.get(PAGE).status_code == 403
    reader = make_user("reader", Role.VIEWER, is_staff=True)
    reader.user_permissions.set(Permission.objects.filter(codename="view_user"))
    client = client_of(reader)
    assert client.get(f"{PAGE}{user.pk}/change/").status_code == 200
    body = {"username": "ada", "is_active": "on", "role": "admin"}
    assert client.post(f"{PAGE}{user.pk}/change/", body).status_code == 403
    assert Role.of(user) == Role.EDITOR


def test_djangos_own_pages_write_iso_dates_too(root_site):
    user = make_user("ada", Role.EDITOR)
    posted(root_site, user, role="viewer")
    history = text_of(root_site.get(f"{PAGE}{user.pk}/history/"))
    assert re.search(r"<th scope=\"row\">\d{4}-\d\d-\d\d \d\d:\d\d:\d\d<", history)


def test_users_are_listed_with_their_roles_in_a_fixed_number_of_queries(root_site):
    make_user("ada", Role.EDITOR)

    def queries():
        with CaptureQueriesContext(connection) as captured:
            assert root_site.get(PAGE).status_code == 200
        return len(captured)

    few = queries()
    make_sessions(5)
    assert queries() == few
    nobody = make_user("nobody", None)
    root = User.objects.get(username="root")
    assert listed(root_site.get(PAGE + "?role=none")) == {nobody.pk}
    assert listed(root_site.get(PAGE + "?role=superuser")) == {root.pk}
    assert User.objects.get(username="ada").pk in listed(root_site.get(PAGE + "?role=editor"))
    assert "/admin/sessions_app/editsession/?user=ada" in text_of(root_site.get(PAGE))
