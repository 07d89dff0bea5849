"""API tokens in the admin site: shown by their prefix, revoked at once."""

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry

from sessions_app.models import ApiToken
from tests.factories import api_of, make_token, make_user
from tests.integration.admin_site import listed, messages_of, text_of

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
    assert boss.get(page + "add/").status_code == 403
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
