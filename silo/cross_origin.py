"""The CORS rule: pages of which other origins may use the API. Django and, through its middleware, the streams
follow it."""

import re
from collections.abc import Sequence
from typing import Final

# All other addresses are for the service's own pages.
ADDRESSES: Final = r"/(api/|health$|ready$)"


def rules(origins: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the origins without a wildcard, and regular expressions for those with a `*.`."""
    whole = [origin for origin in origins if "*" not in origin]
    wild = [
        "^" + re.escape(origin).replace(r"\*", r"[\w-]+(\.[\w-]+)*") + "$"
        for origin in origins
        if "*" in origin
    ]
    return whole, wild
