"""The size limit of each operation's body: what its largest valid body needs, and no more.

The server reads it (`EVENTS_BODY_LIMIT`) when it has the headers of a request, before any of the body. A test compares
these sizes with the API's description.
"""

import re
from typing import Final

from django.conf import settings

KILOBYTE: Final = 1024

# Operations that take no body, or two numbers: room for clients that send an empty object.
NOTHING: Final = 4 * KILOBYTE
# Some texts of at most 2,000 characters, each perhaps written as an escape, or 1,000 ids.
TEXTS: Final = 64 * KILOBYTE
# Forms of the admin site: at most 1,000 fields, most of them ids.
FORMS: Final = 1024 * KILOBYTE

_WITHOUT_BODY: Final = frozenset({"GET", "HEAD", "OPTIONS"})
# The first that matches counts. Part numbers in paths may hold slashes.
_LISTS: Final = re.compile(
    r"/api/(events|edit-sessions/(batch|in-use)|items/[\s\S]+/(edit-sessions|edit-session-requests))"
)
_NOTHING: Final = re.compile(r"/api/(workstations/[^/]+/alive|items/[\s\S]+/(retire|restore))")


def limit(method: str, path: str) -> int:
    """Return how many bytes the body of a request may have.

    Args:
        method: in capitals.
        path: decoded, without the query.
    """
    if method in _WITHOUT_BODY:
        return NOTHING
    if path.startswith("/admin/"):
        return FORMS
    if method == "POST" and _NOTHING.fullmatch(path):
        return NOTHING
    if method == "POST" and _LISTS.fullmatch(path):
        return settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    return TEXTS
