"""Users of the admin site."""

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from sessions_app.roles import Role
from tests.factories import make_user
from tests.integration.admin_site import client_of


@pytest.fixture
def boss() -> Client:
    """A member of staff in the role admin, without any of Django's permissions."""
    return client_of(make_user("boss", Role.ADMIN, is_staff=True))


@pytest.fixture
def onlooker() -> Client:
    """A viewer who is staff, with every permission of Django's and therefore the view permissions."""
    user = make_user("onlooker", Role.VIEWER, is_staff=True)
    user.user_permissions.set(
        Permission.objects.filter(content_type__app_label__in=["sessions_app", "events_app"])
    )
    return client_of(user)
