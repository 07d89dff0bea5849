"""Somebody else who keeps the lock of a row."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet

from tests.waiting import PATIENCE_SECONDS


@contextmanager
def kept(rows: QuerySet[Any]) -> Iterator[None]:
    """Have another connection hold the locks of these rows meanwhile."""
    locked, over = threading.Event(), threading.Event()

    def keep() -> None:
        try:
            with transaction.atomic():
                list(rows.select_for_update())
                locked.set()
                # The database ends who is idle for longer.
                assert over.wait(PATIENCE_SECONDS)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as threads:
        keeping = threads.submit(keep)
        try:
            assert locked.wait(PATIENCE_SECONDS)
            yield
        finally:
            over.set()
            keeping.result(PATIENCE_SECONDS)
