"""What can go wrong, in one sentence for the person who has to do something about it."""

from __future__ import annotations


class EmbeddedPostgresError(Exception):
    """The server could not be found, started, joined or stopped; the message says why and what to do."""


class NotReady(Exception):
    """The server is starting or stopping: the caller tries again."""
