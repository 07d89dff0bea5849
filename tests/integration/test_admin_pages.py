"""Every page of the admin site: who may look, who may act, and what a list costs."""

import pytest
from django.apps import apps
from django.contrib import admin
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from sessions_app.models import EditSession, EndReason
from sessions_app.models.results import Manner
from sessions_app.roles import Role
from tests.factories import acquire, make_item, make_token, make_user
from tests.integration.admin_site import (
    FORCE_RELEASE,
    PAGES,
    client_of,
    connect,
    make_sessions,
    one_of_each,
    text_of,
)

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("page", PAGES)
def test_admin_needs_no_permissions_of_django(boss, page):
    one_of_each()
    response = boss.get(reverse(f"admin:{page}_changelist"))
    assert response.status_code == 200
    row = response.context["cl"].result_list[0]
    detail = boss.get(reverse(f"admin:{page}_change", args=[row.pk]))
    assert detail.status_code == 200
    assert "Silo Sessions" in text_of(detail)


@pytest.mark.parametrize("page", PAGES)
def test_onlooker_may_look_but_not_act(onlooker, page):
    one_of_each()
    response = onlooker.get(reverse(f"admin:{page}_changelist"))
    assert response.status_code == 200
    assert not response.context["has_add_permission"]
    assert [
        name
        for name, _ in response.context["cl"].model_admin.get_action_choices(response.wsgi_request)
    ] == [""]
    row = response.context["cl"].result_list[0]
    detail = reverse(f"admin:{page}_change", args=[row.pk])
    shown = onlooker.get(detail)
    assert shown.status_code == 200
    assert not shown.context["has_change_permission"]
    assert onlooker.post(detail, {}).status_code == 403
    assert onlooker.post(reverse(f"admin:{page}_add"), {}).status_code == 403
    assert (
        onlooker.post(reverse(f"admin:{page}_delete", args=[row.pk]), {"post": "yes"}).status_code
        == 403
    )


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("role", [None, Role.VIEWER, Role.EDITOR])
def test_staff_without_view_permission_sees_nothing(page, role):
    client = client_of(make_user("temp", role, is_staff=True))
    assert client.get(reverse(f"admin:{page}_changelist")).status_code == 403


@pytest.mark.parametrize("page", PAGES)
def test_role_admin_without_staff_is_sent_to_the_login(page):
    client = client_of(make_user("temp", Role.ADMIN))
    response = client.get(reverse(f"admin:{page}_changelist"))
    assert response.status_code == 302
    assert "/admin/login/" in response["Location"]


def test_superuser_without_group_is_admin():
    (session,) = make_sessions(1)
    client = client_of(make_user("root", None, is_staff=True, is_superuser=True))
    client.post(FORCE_RELEASE, {"sessions": session.pk, "reason": "fire"})
    assert not EditSession.objects.exists()


def test_index_names_the_site_and_only_pages_of_use(boss):
    index = text_of(boss.get("/admin/"))
    assert "Silo Sessions" in index
    for page in PAGES:
        assert reverse(f"admin:{page}_changelist") in index
    foreign = apps.get_app_config("django_eventstream").get_models()
    assert not [model for model in foreign if admin.site.is_registered(model)]


@pytest.mark.parametrize("page", PAGES)
def test_lists_take_as_many_queries_for_many_rows_as_for_few(boss, page):
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert boss.get(address).status_code == 200
        return len(captured)

    address = reverse(f"admin:{page}_changelist")
    one_of_each()
    few = queries()
    for session in make_sessions(8, "more"):
        connect(session.workstation)
        make_token(session.user)
        acquire(session.workstation, make_item(f"ended {session.item.part_number}"))
    EditSession.objects.end(
        EditSession.objects.filter(item__part_number__startswith="ended"),
        Manner(EndReason.RELEASED),
    )
    assert queries() == few
    assert few <= 10


@pytest.mark.parametrize("page", PAGES)
def test_lists_refuse_what_the_database_would_choke_on(boss, page):
    address = reverse(f"admin:{page}_changelist")
    for query in ("q=%00", "context_level__exact=%00", "state=%00", "item_type=%00", "%00=1"):
        assert boss.get(f"{address}?{query}").status_code == 400, query
    for query in ("q=%ff", "p=x", "p=99999", "o=99.-3", "id__exact=x", "unknown=1"):
        assert boss.get(f"{address}?{query}", follow=True).status_code == 200, query
