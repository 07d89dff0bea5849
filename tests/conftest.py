"""Fixtures of all tiers."""

import signal

import pytest
from django.contrib.auth.models import Group

from events_app.models import EventLog, Observation
from sessions_app.roles import Role


def pytest_configure() -> None:
    # Started in the background of a shell, this process ignores Ctrl-C, and so would every process that it tests.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def committed_db(transactional_db: None) -> None:
    """A database in which tests and other processes commit, and which is emptied after the test."""
    # The emptying takes along what migrations put in.
    EventLog.objects.get_or_create(pk=1)
    Observation.objects.get_or_create(pk=1)
    for role in Role:
        Group.objects.get_or_create(name=role.group)
