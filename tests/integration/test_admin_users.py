"""Users in the admin site: a role is chosen, Django's permissions count, and the other groups are kept."""

import re

import pytest
from django.contrib.admin.models import CHANGE, DELETION, LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sessions_app.models import OpenIdAccount
from sessions_app.roles import Role
from tests.factories import make_token, make_user, make_workstation
from tests.integration.admin_site import (
    client_of,
    filled,
    listed,
    make_sessions,
    messages_of,
    text_of,
)

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


def test_thousands_are_deleted_at_once_but_not_who_leaves_something_behind(root_site):
    root = User.objects.get(username="root")
    kept = [make_user(name) for name in ("editor", "former", "token")]
    editor, former, token_of = kept
    make_workstation(editor)
    # Nobody can say any more what a former administrator did, if it goes with the user.
    LogEntry.objects.log_actions(former.pk, [editor], CHANGE, "Changed role.")
    make_token(token_of)
    for one in kept:
        root_site.post(f"{PAGE}{one.pk}/delete/", {"post": "yes"})
        assert User.objects.filter(pk=one.pk).exists()
    User.objects.bulk_create(User(username=f"u{n}") for n in range(1001))
    body = {"action": "delete_many", "select_across": 1, "_selected_action": root.pk}
    asked = root_site.post(PAGE, body)
    assert "history as administrators, or are you: 4." in text_of(asked)
    assert "and 905 more" in text_of(asked)
    named = re.findall(r"<li>(\w+ \(kept\))</li>", text_of(asked))
    assert named == ["editor (kept)", "former (kept)", "root (kept)", "token (kept)"]
    assert "<li>u0</li>" in text_of(asked)
    answer = root_site.post(f"{PAGE}delete-many/", filled(asked), follow=True)
    assert messages_of(answer) == ["Users that were deleted: 1001 of 1005."]
    assert set(User.objects.all()) == {root, *kept}
    assert LogEntry.objects.filter(action_flag=DELETION, user=root).count() == 1001


def test_deleting_selected_users_is_set_based_and_undoes_their_roles(root_site):
    def queries(count):
        users = [make_user(f"{count}-{n}") for n in range(count)]
        with CaptureQueriesContext(connection) as captured:
            body = {"action": "delete_many", "_selected_action": [one.pk for one in users]}
            asked = root_site.post(PAGE, body)
            assert "None of them has a workstation, a token or a history" in text_of(asked)
            root_site.post(f"{PAGE}delete-many/", filled(asked))
        return len(captured)

    assert queries(2) == queries(6)
    assert User.objects.count() == 1


def test_deletion_of_users_needs_djangos_permission():
    staff = client_of(make_user("staff", Role.ADMIN, is_staff=True))
    user = make_user("ada")
    assert staff.post(f"{PAGE}delete-many/", {"ids": f"{user.pk}"}).status_code == 403
    root = client_of(make_user("root", None, is_staff=True, is_superuser=True))
    answer = root.post(f"{PAGE}delete-many/", {"ids": "1,x"}, follow=True)
    assert messages_of(answer) == ["Select the users again."]
    assert User.objects.filter(pk=user.pk).exists()


def test_who_a_user_is_at_a_provider_is_shown_and_unlinked(root_site):
    ada, bob = make_user("ada"), make_user("bob")
    OpenIdAccount.objects.create(user=ada, issuer="https://login.example.com", subject="a-1")
    assert "a-1 at https://login.example.com" in text_of(root_site.get(f"{PAGE}{ada.pk}/change/"))
    assert root_site.get(f"{PAGE}{bob.pk}/change/").status_code == 200
    body = {"action": "unlink_openid", "_selected_action": [ada.pk, bob.pk]}
    answer = root_site.post(PAGE, body, follow=True)
    assert "Users unlinked from OpenID Connect: 1." in text_of(answer)
    assert not OpenIdAccount.objects.exists()
    assert User.objects.filter(username="ada").exists()
