"""Transactions that learn on their way whose lock they need, and then begin again with it."""

import uuid
from collections.abc import Callable, Collection
from typing import TypeVar

from django.db import transaction

Result = TypeVar("Result")


class NeedsLocks(Exception):
    """Somebody else has, at this moment, locks that were tried out of their order.

    Args:
        keys: whose locks.
    """

    def __init__(self, keys: Collection[uuid.UUID]) -> None:
        super().__init__(f"the locks of {len(keys)} keys are needed from the start")
        self.keys = frozenset(keys)


def with_lock_retry(operation: Callable[[Collection[uuid.UUID]], Result]) -> Result:
    """Run an operation in a transaction of its own, and again from its beginning whenever it meets `NeedsLocks`.

    It ends: with each turn it waits for, and then holds, what it found busy before.

    Args:
        operation: gets the keys whose locks it has to take as well, in one order with its own first ones.
    """
    also: set[uuid.UUID] = set()
    while True:
        try:
            with transaction.atomic():
                return operation(also)
        except NeedsLocks as busy:
            also |= busy.keys
