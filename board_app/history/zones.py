"""The reader's time zone. A browser names it in a cookie (`static/board/zone.js`); without one it is UTC."""

import zoneinfo
from functools import lru_cache
from typing import Final
from urllib.parse import unquote
from zoneinfo import ZoneInfo

from django.http import HttpRequest

COOKIE: Final = "board_zone"


def zone_of(request: HttpRequest) -> ZoneInfo:
    """Return the time zone of whoever asks, or UTC where it is not named or not known here."""
    # Percent-encoded, as a slash and a plus are not allowed in every cookie.
    name = unquote(request.COOKIES.get(COOKIE, ""))
    return ZoneInfo(name if name in _known() else "UTC")


@lru_cache(1)
def _known() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())
