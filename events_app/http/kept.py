"""Findings by the headers of a request, kept for the next request with the same ones.

A client sends the same few headers with each of its requests. But anybody can send others, a new set each time, before
any credentials are looked at: so only short ones are kept.
"""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Final, TypeVar

from events_app.http.lane_parser import Headers

# With what is found by them: some 6 kB at the most.
MOST_HEADERS: Final = 24
MOST_BYTES: Final = 1024
# Clients of one server that are served at the same time.
MOST_KEPT: Final = 2048

Found = TypeVar("Found")


def are_short(headers: Headers) -> bool:
    """Say whether headers are few and short enough to be kept."""
    if len(headers) > MOST_HEADERS:
        return False
    return sum([len(name) + len(value) for name, value in headers]) <= MOST_BYTES


def kept(find: Callable[[Headers], Found]) -> Callable[[Headers], Found]:
    """Keep what a function finds by headers alone, where they are short: of the `MOST_KEPT` used last.

    Args:
        find: gets headers, and finds the same by the same ones.
    """
    find_kept = lru_cache(MOST_KEPT)(find)

    @wraps(find)
    def found(headers: Headers) -> Found:
        return find_kept(headers) if are_short(headers) else find(headers)

    return found
