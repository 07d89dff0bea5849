"""Retries a transaction that needs more row locks. Called by everything that ends sessions or moves a line."""

import uuid
from collections.abc import Callable, Collection
from typing import TypeVar

from django.db import transaction

Result = TypeVar("Result")


class NeedsLocks(Exception):
    """A lock that is needed out of order is held by another transaction.

    Args:
        keys: the presence keys whose rows have to be locked from the start.
    """

    def __init__(self, keys: Collection[uuid.UUID]) -> None:
        super().__init__(f"the locks of {len(keys)} keys are needed from the start")
        self.keys = frozenset(keys)


def with_lock_retry(operation: Callable[[Collection[uuid.UUID]], Result]) -> Result:
    """Run an operation in a transaction of its own, and retry it from its beginning whenever it raises `NeedsLocks`.

    Each retry waits for, and then holds, the locks that the one before could not get, so the retries end.

    Args:
        operation: gets the keys that it has to lock in addition to its own first ones, all in one order.
    """
    also: set[uuid.UUID] = set()
    while True:
        try:
            with transaction.atomic():
                return operation(also)
        except NeedsLocks as busy:
            also |= busy.keys
