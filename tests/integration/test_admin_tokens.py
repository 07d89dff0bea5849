"""API tokens in the admin site: shown by their prefix, revoked at once."""

import re
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry

from sessions_app.models import ApiToken
from sessions_app.roles import Role
from tests.factories import Api, api_of, make_token, make_user
from tests.integration.admin_site import listed, messages_of, text_of

PAGE = "/admin/sessions_app/apitoken/"

pytestmark = pytest.mark.django_db


def test_tokens_show_their_prefix_only(boss):
    user = make_user()
    token = make_token(user)
    row = ApiToken.objects.get()
    page = "/admin/sessions_app/apitoken/"
    for address in (page, f"{page}{row.pk}/change/"):
        text = text_of(boss.get(address))
        assert row.shown in text
        assert row.digest not in text
        assert token not in text
    assert "createtoken" in text_of(boss.get(page))
    assert boss.post(f"{page}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    assert boss.post(f"{page}{row.pk}/change/", {"role": "admin"}).status_code == 403


def test_revoked_token_is_refused(boss):
    user = make_user()
    api = api_of(user)
    assert api("GET", "/api/workstations").status_code == 200
    row = ApiToken.objects.get()
    page = "/admin/sessions_app/apitoken/"
    body = {"action": "revoke", "_selected_action": row.pk}
    assert messages_of(boss.post(page, body, follow=True)) == ["1 token was revoked."]
    assert api("GET", "/api/workstations").status_code == 401
    row.refresh_from_db()
    revoked_at = row.revoked_at
    assert messages_of(boss.post(page, body, follow=True)) == ["0 tokens were revoked."]
    row.refresh_from_db()
    assert row.revoked_at == revoked_at
    assert listed(boss.get(page + "?state=revoked")) == {row.pk}
    assert listed(boss.get(page + "?state=valid")) == set()
    [entry] = LogEntry.objects.all()
    assert (entry.user.username, entry.object_id, entry.get_change_message()) == (
        *("boss", str(row.pk), "Revoked."),
    )


def test_a_token_is_made_and_shown_once(boss):
    ada = make_user("ada")
    body = {"user": "ADA", "role": "editor", "name": "CAD on cad-17", "days": "30"}
    made = boss.post(PAGE + "add/", body)
    [token] = re.findall(r"silo_[\w-]{43}", text_of(made))
    assert "no-store" in made["Cache-Control"]
    row = ApiToken.objects.get()
    assert (row.user, row.role, row.name) == (ada, "editor", "CAD on cad-17")
    left = row.expires_at - row.created_at
    assert left == timedelta(days=30)
    assert Api(token)("GET", "/api/workstations").status_code == 200
    for address in (PAGE, f"{PAGE}{row.pk}/change/", PAGE + "add/", f"{PAGE}{row.pk}/history/"):
        assert token not in text_of(boss.get(address)), address
    [entry] = LogEntry.objects.all()
    assert (entry.user.username, entry.get_change_message()) == ("boss", "Made for ada.")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"user": "nobody"}, "user"),
        ({"user": ""}, "user"),
        ({"role": "admin"}, "role"),
        ({"role": "owner"}, "role"),
        ({"user": "gone"}, "role"),
        ({"user": "none"}, "role"),
        ({"name": "a\x1bb"}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"days": "0"}, "days"),
        ({"days": "3661"}, "days"),
        ({"days": "x"}, "days"),
    ],
)
def test_a_token_that_may_not_be_is_refused(boss, wrong, field):
    make_user("ada")
    make_user("gone", is_active=False)
    make_user("none", None)
    body = {"user": "ada", "role": "viewer", "name": "", "days": ""} | wrong
    answer = boss.post(PAGE + "add/", body)
    assert answer.context["form"].errors[field]
    assert not ApiToken.objects.exists()


def test_tokens_are_limited_but_never_widened(boss):
    user = make_user("ada", Role.ADMIN)
    tokens = {role: ApiToken.objects.issue(user, role, role, None)[0].pk for role in Role.groups()}
    ends = ApiToken.objects.issue(user, "ends", "viewer", timedelta(days=2))[0]
    selected = [*tokens.values(), ends.pk]

    def done(action: str) -> list[str]:
        answer = boss.post(PAGE, {"action": action, "_selected_action": selected}, follow=True)
        return messages_of(answer)

    assert done("limit_to_editor") == ["Tokens that were limited: 1."]
    roles = ApiToken.objects.order_by("pk").values_list("role", flat=True)
    assert list(roles) == ["viewer", "editor", "editor", "viewer"]
    assert done("limit_to_viewer") == ["Tokens that were limited: 2."]
    assert set(roles.all()) == {"viewer"}
    assert done("limit_to_editor") == ["Tokens that were limited: 0."]
    assert set(roles.all()) == {"viewer"}
    before = ApiToken.objects.get(pk=ends.pk).expires_at
    assert done("end_in_30_days") == ["Tokens that were limited: 3."]
    assert ApiToken.objects.get(pk=ends.pk).expires_at == before
    assert not ApiToken.objects.filter(expires_at__isnull=True).exists()


def test_onlooker_makes_and_limits_nothing(onlooker):
    user = make_user("ada", Role.EDITOR)
    row, _ = ApiToken.objects.issue(user, "good", "editor", None)
    body = {"user": "ada", "role": "viewer"}
    assert onlooker.get(PAGE + "add/").status_code == 403
    assert onlooker.post(PAGE + "add/", body).status_code == 403
    for action in ("limit_to_viewer", "end_in_30_days"):
        onlooker.post(PAGE, {"action": action, "_selected_action": row.pk})
    row.refresh_from_db()
    assert (row.role, row.expires_at) == ("editor", None)
    assert ApiToken.objects.count() == 1


def test_onlooker_revokes_nothing(onlooker):
    api = api_of(make_user())
    body = {"action": "revoke", "_selected_action": ApiToken.objects.get().pk}
    onlooker.post("/admin/sessions_app/apitoken/", body)
    assert api("GET", "/api/workstations").status_code == 200


def test_token_states_and_roles_are_filtered(boss):
    user, gone = make_user(), make_user("gone", is_active=False)
    expired, _ = ApiToken.objects.issue(user, "old", "editor", timedelta(days=-1))
    orphan, _ = ApiToken.objects.issue(gone, "orphan", "viewer", None)
    valid, _ = ApiToken.objects.issue(user, "good", "viewer", timedelta(days=1))
    page = "/admin/sessions_app/apitoken/"
    for query, found in {
        "state=expired": {expired.pk},
        "state=user deactivated": {orphan.pk},
        "state=valid": {valid.pk},
        "role=viewer": {orphan.pk, valid.pk},
        "role=admin": set(),
        "q=good": {valid.pk},
    }.items():
        assert listed(boss.get(f"{page}?{query}")) == found, query
