"""Fixtures of all tiers."""

import gc
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection
from django.test import TransactionTestCase
from hypothesis import HealthCheck, settings
from pytest_django.plugin import DjangoDbBlocker

from tests import emptying

# A busy machine is slow, which is no fault of what is tested. What was drawn at random is printed where it fails.
settings.register_profile(
    "silo",
    parent=settings.get_profile(settings.get_current_profile_name()),
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("silo")

# Tests that start no processes.
INSIDE = (Path(__file__).with_name("unit"), Path(__file__).with_name("integration"))


def pytest_configure() -> None:
    # Started in the background of a shell, this process ignores Ctrl-C, and so would every process that it tests.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spread the files that wait for processes among those that compute, so that workers do both at any time."""
    waits = {item: not any(map(item.path.is_relative_to, INSIDE)) for item in items}
    kinds = Counter(waits.values())
    done = Counter[bool]()
    places: dict[Path, float] = {}
    for item, kind in waits.items():
        places.setdefault(item.path, done[kind] / kinds[kind])
        done[kind] += 1
    items.sort(key=lambda item: places[item.path])


def pytest_collection_finish() -> None:
    """Look for garbage more seldom, and not among the modules: that took a tenth of the time of the tests."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 20, 20)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """The database, which is emptied quickly after a test that commits."""
    with django_db_blocker.unblock():
        emptying.keep()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda _: emptying.empty())
        yield


@pytest.fixture
def committed_db(transactional_db: None) -> None:
    """A database in which tests and other processes commit, and which is emptied after the test.

    The emptying brings back what no server starts without.
    """


@pytest.fixture
def quickly_committed_db(committed_db: None) -> Iterator[None]:
    """The same, for tests that kill no database and commit thousands of times: no commit waits for the disk."""
    options = connection.settings_dict["OPTIONS"]
    before = options["options"]
    options["options"] = f"{before} -c synchronous_commit=off"
    connection.close()
    yield
    options["options"] = before
    connection.close()
