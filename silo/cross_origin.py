"""Which pages of other origins may use the API (CORS): one rule, for Django and, by its middleware, for streams."""

import re
from collections.abc import Sequence
from typing import Final

# The rest is for the service's own pages.
ADDRESSES: Final = r"/(api/|health$|ready$)"


def rules(origins: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the origins that are given whole, and regular expressions for those with a `*.`."""
    whole = [origin for origin in origins if "*" not in origin]
    wild = [
        "^" + re.escape(origin).replace(r"\*", r"[\w-]+(\.[\w-]+)*") + "$"
        for origin in origins
        if "*" in origin
    ]
    return whole, wild
