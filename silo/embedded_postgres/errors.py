"""What goes wrong, in one sentence for the person who has to do something about it."""

from __future__ import annotations


class EmbeddedPostgresError(Exception):
    """The server could not be found, started, joined or stopped; one sentence says why."""


class NotYet(Exception):
    """The server is coming up or going down: try again."""
