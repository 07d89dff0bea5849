"""How much of a body is read, and whose."""

from collections.abc import Callable
from functools import cache
from urllib.parse import unquote

from django.conf import settings
from django.utils.module_loading import import_string


@cache
def _limit() -> Callable[[str, str], int]:
    limit: Callable[[str, str], int] = import_string(settings.EVENTS_BODY_LIMIT)
    return limit


def limit_of(method: bytes, path: bytes) -> int:
    """Return how many bytes the body of a request may have, by the domain's word.

    Args:
        method: as it was received.
        path: as it was received, perhaps with a query.
    """
    return _limit()(method.decode("latin-1"), unquote(path.partition(b"?")[0].decode("latin-1")))
