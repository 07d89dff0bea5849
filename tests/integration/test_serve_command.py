"""What `manage.py serve --workers N` checks before it starts anything."""

import asyncio

import pytest
from django.core.management import CommandError, call_command

from events_app.database import sql
from events_app.http.body import Bodies
from events_app.management.commands.serve import warn_of_too_few_connections


@pytest.mark.parametrize("workers", ["0", "65", "-1", "two"])
def test_an_impossible_number_of_workers_is_named(workers):
    with pytest.raises(CommandError, match="is not a number from 1 to 64"):
        call_command("serve", "--workers", workers)


@pytest.mark.django_db
def test_more_workers_than_connections_are_told(caplog):
    fit = int(sql.setting("max_connections")) // 20
    warn_of_too_few_connections(fit)
    assert not caplog.records
    warn_of_too_few_connections(10 * fit)
    [record] = caplog.records
    assert record.message == "max_connections of PostgreSQL is too small for all workers"
    assert record.needed > record.allowed > 0


@pytest.mark.parametrize(("workers", "bodies"), [(1, 8), (4, 2), (64, 1)])
def test_workers_share_the_memory_for_bodies(settings, workers, bodies):
    settings.EVENTS_BODY_MEMORY_MB = 64
    largest = settings.DATA_UPLOAD_MAX_MEMORY_SIZE

    async def given():
        memory = Bodies(workers).memory
        asked = [asyncio.create_task(memory.place(owner, largest)) for owner in range(bodies + 1)]
        await asyncio.wait(asked[:bodies])
        done = sum(task.done() for task in asked)
        asked[bodies].cancel()
        return done

    assert asyncio.run(given()) == bodies
