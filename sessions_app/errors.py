"""The refusals of the domain, as the API answers them."""

import inspect
from math import ceil
from typing import Any

from sessions_app.text import person


class DomainError(Exception):
    """A request is valid but refused; nothing was changed.

    Args:
        message: a sentence for a person.
        details: further members of the answer.
    """

    # In seconds; None where a retry does not help.
    retry_after: int | None = None

    status = 400
    code = "bad_request"

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class NotAuthenticated(DomainError):
    """Send a valid bearer token, or log in."""

    status, code = 401, "not_authenticated"


class Forbidden(DomainError):
    """The request needs a higher role, concerns what another user owns, or lacks a login session's `X-CSRFToken`."""

    status, code = 403, "forbidden"


class NotFound(DomainError):
    """The requested object does not exist, or the session has ended."""

    status, code = 404, "not_found"


class HardInterference(DomainError):
    """Another workstation holds the object; `holder` is its session."""

    status, code = 409, "hard_interference"


class BatchInterference(DomainError):
    """Other workstations hold some of the wanted objects; `holders` are their sessions."""

    status, code = 409, "hard_interference"

    def of_one(self) -> "HardInterference":
        """Return the refusal of a single session."""
        holder = self.details["holders"][0]
        return HardInterference(
            f"{person(holder['user'], holder['user_name'])} is editing this on {holder['workstation']['name']}.",
            holder={key: value for key, value in holder.items() if key != "part_number"},
        )


class NotConnected(DomainError):
    """The event stream of this connection has ended; open a new one."""

    status, code = 409, "not_connected"


class StaleToken(DomainError):
    """The session has ended, or this is not its fencing token."""

    status, code = 409, "stale_token"


class OwnSession(DomainError):
    """You cannot request a hand-off of your own session."""

    status, code = 409, "own_session"


class NotRequested(DomainError):
    """The target of the hand-off has neither requested the session nor stands in line for it."""

    status, code = 409, "not_requested"


class NotAnEditor(DomainError):
    """The user of the target workstation is not an editor."""

    status, code = 409, "not_an_editor"


class IdentityInUse(DomainError):
    """Another machine uses this workstation's fingerprint, as a copy of its disk image does; use another one."""

    status, code = 409, "identity_in_use"


class AlreadyExists(DomainError):
    """An item with this part number, in whichever spelling, already exists."""

    status, code = 409, "already_exists"


class Retired(DomainError):
    """The item is retired: nothing new begins on it. Sessions that exist go on until they are released."""

    status, code = 409, "retired"


class Invalid(DomainError):
    """The request is not valid."""

    status, code = 422, "invalid"


class InvalidJson(DomainError):
    """The body is not a JSON document in UTF-8."""

    status, code = 422, "invalid_json"


class TooManySessions(DomainError):
    """The workstation, or its user, would exceed the limit of edit sessions."""

    status, code = 422, "too_many_sessions"


class TooManyNodeKeys(DomainError):
    """The user's dependency cones together would exceed the limit of node keys."""

    status, code = 422, "too_many_node_keys"


class TooManyPlaces(DomainError):
    """The user would exceed the limit of places in line."""

    status, code = 422, "too_many_places"


class TooManyWorkstations(DomainError):
    """The user would exceed the limit of workstations."""

    status, code = 422, "too_many_workstations"


class TooManyTokens(DomainError):
    """The user would exceed the limit of tokens that users make for themselves."""

    status, code = 422, "too_many_tokens"


class TooManyStreams(DomainError):
    """This workstation, or this user without a workstation, has reached the limit of open streams on this server."""

    status, code = 429, "too_many_streams"


class TooManyWrongTokens(DomainError):
    """Too many wrong tokens came from this address; a valid one is accepted at once."""

    status, code = 429, "too_many_wrong_tokens"

    def __init__(self, seconds: float) -> None:
        super().__init__(inspect.getdoc(type(self)) or "")
        self.retry_after = ceil(seconds)


class StreamsNotServed(DomainError):
    """This is a development server, which serves no event streams."""

    status, code = 501, "streams_not_served"
