"""Who and what most tests speak of, and users of the admin site."""

from collections.abc import Callable, Iterator

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client

from events_app.database import sql
from sessions_app import wrong_credentials
from sessions_app.models import Item, Workstation
from sessions_app.roles import Role
from tests.factories import connect, make_item, make_user, make_workstation
from tests.integration.admin_site import client_of


@pytest.fixture(autouse=True)
def no_wrong_credentials() -> Iterator[None]:
    """What other tests have tried slows nobody down."""
    wrong_credentials.forget()
    yield
    wrong_credentials.forget()


@pytest.fixture(autouse=True)
def thinking_ends_no_transaction(_django_db_marker: None) -> None:
    """A test that is one transaction may think for long between two statements, on a machine with other work to do."""
    if connection.in_atomic_block:
        sql.set_for_transaction("idle_in_transaction_session_timeout", "0")


@pytest.fixture
def item() -> Item:
    """An item."""
    return make_item()


@pytest.fixture
def ada() -> Workstation:
    """An editor's workstation, without a stream."""
    return make_workstation(make_user("ada"), "ada's")


@pytest.fixture
def bob() -> Workstation:
    """Another one's."""
    return make_workstation(make_user("bob"), "bob's")


@pytest.fixture
def connected() -> Callable[..., Workstation]:
    """Make a workstation that has a stream open, of a user of this name and role."""

    def make(name: str, role: Role = Role.EDITOR) -> Workstation:
        workstation = make_workstation(make_user(name, role), f"{name}'s")
        connect(workstation)
        return workstation

    return make


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
