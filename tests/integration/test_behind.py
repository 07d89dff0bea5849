"""A server process tells the others that signs of life wait to be written; nobody is judged by them meanwhile."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from events_app.models import ServerProcess
from events_app.presence import server_processes, store
from events_app.presence.server_processes import ProcessIdentity, is_behind

DEAD = timedelta(seconds=20)
LATE = 2.0

pytestmark = pytest.mark.django_db


@pytest.fixture
def judge():
    return registered()


@pytest.fixture
def other():
    return registered()


def registered():
    process = ProcessIdentity()
    store.register(process)
    return process


def test_a_beat_tells_it_to_the_others_until_the_next(judge, other):
    assert not is_behind(judge, DEAD, LATE)
    server_processes.beat(other, DEAD, LATE + 1)
    assert is_behind(judge, DEAD, LATE)
    # Of its own ones a process knows more.
    assert not is_behind(other, DEAD, LATE)
    server_processes.beat(other, DEAD)
    assert not is_behind(judge, DEAD, LATE)


def test_a_wait_of_less_than_a_beat_does_not_count(judge, other):
    server_processes.beat(other, DEAD, LATE)
    assert not is_behind(judge, DEAD, LATE)


def test_a_wait_at_a_dead_process_does_not_count(judge, other):
    server_processes.beat(other, DEAD, LATE + 1)
    ServerProcess.objects.filter(pk=other.id).update(last_beat=Now() - DEAD - timedelta(seconds=1))
    assert not is_behind(judge, DEAD, LATE)
