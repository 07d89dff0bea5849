"""Pages of the admin site lead to those of the board and back, for members of staff who may see them."""

import re

import pytest
from django.urls import reverse

from board_app import links
from sessions_app.roles import Role
from tests.factories import make_user, wait_for
from tests.integration.admin_site import client_of, text_of

pytestmark = pytest.mark.django_db


def pairs(held):
    """The pages of a session and of what it names: of the board, and of the admin site."""
    return {
        links.item_page(held.item.part_number): ("sessions_app_item", held.item_id),
        links.user_page(held.user.get_username()): ("auth_user", held.user_id),
        links.workstation_page(held.workstation_id): (
            "sessions_app_workstation",
            held.workstation_id,
        ),
        links.session_page(held.pk): ("sessions_app_editsession", held.pk),
    }


def test_each_leads_to_the_other(held):
    # Pages of users are for superusers, and for those with Django's permission.
    chief = client_of(make_user("chief", Role.ADMIN, is_staff=True, is_superuser=True))
    for on_board, (name, pk) in pairs(held).items():
        in_admin = reverse(f"admin:{name}_change", args=[pk])
        found = re.findall(r'href="([^"]*)"[^>]*>On the board<', text_of(chief.get(in_admin)))
        assert found == [on_board]
        found = re.findall(r'href="([^"]*)">In the admin site<', text_of(chief.get(on_board)))
        assert found == [in_admin]


@pytest.mark.parametrize("is_staff", [True, False])
def test_nobody_is_led_to_what_is_refused(held, is_staff):
    """A member of staff without the permission of a page, and an admin who is no member of staff."""
    role = Role.VIEWER if is_staff else Role.ADMIN
    browser = client_of(make_user("somebody", role, is_staff=is_staff))
    for on_board in pairs(held):
        page = browser.get(on_board)
        assert page.status_code == 200
        assert "In the admin site" not in text_of(page)


def test_what_has_no_page_on_the_board_leads_to_none(boss, held, bob):
    place = wait_for(bob, held).place
    page = boss.get(reverse("admin:sessions_app_placeinline_change", args=[place.pk]))
    assert page.status_code == 200
    assert "On the board" not in text_of(page)


def test_staff_in_the_role_admin_is_not_led_to_users(boss, held):
    assert "In the admin site" not in text_of(boss.get(links.user_page("ada")))
