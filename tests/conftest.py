"""Fixtures of all tiers."""

import gc
import signal

import pytest


def pytest_configure() -> None:
    # Started in the background of a shell, this process ignores Ctrl-C, and so would every process that it tests.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Look for garbage more seldom, and not among the modules: that took a tenth of the time of the tests."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 20, 20)


@pytest.fixture
def committed_db(transactional_db: None) -> None:
    """A database in which tests and other processes commit, and which is emptied after the test.

    The emptying brings back what no server starts without.
    """
