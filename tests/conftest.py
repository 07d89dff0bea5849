"""Fixtures of all tiers."""

import pytest
from django.contrib.auth.models import Group

from events_app.models import EventLog, Observation
from sessions_app.authentication import Role


@pytest.fixture
def committed_db(transactional_db: None) -> None:
    """A database in which tests and other processes commit, and which is emptied after the test."""
    # The emptying takes along what migrations put in.
    EventLog.objects.get_or_create(pk=1)
    Observation.objects.get_or_create(pk=1)
    for role in Role:
        Group.objects.get_or_create(name=role.group)
