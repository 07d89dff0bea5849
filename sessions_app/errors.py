"""What the domain refuses, as the API answers it."""

import inspect
from math import ceil
from typing import Any

from sessions_app.text import person


class DomainError(Exception):
    """A request that is understood and refused; nothing was changed.

    Args:
        message: a sentence for a person.
        details: further members of the answer.
    """

    # In seconds; None where trying again does not help.
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
    """It needs a higher role, it is somebody else's, or a login session did not send `X-CSRFToken`."""

    status, code = 403, "forbidden"


class NotFound(DomainError):
    """There is no such thing, or it has ended."""

    status, code = 404, "not_found"


class HardInterference(DomainError):
    """Another workstation holds the object; `holder` says which."""

    status, code = 409, "hard_interference"


class BatchInterference(DomainError):
    """Other workstations hold some of what is wanted; `holders` says which and what."""

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
    """The session is not live, or not with this token."""

    status, code = 409, "stale_token"


class OwnSession(DomainError):
    """Nobody asks oneself."""

    status, code = 409, "own_session"


class NotRequested(DomainError):
    """The target of a hand-off has neither asked for the session nor stands in line for it."""

    status, code = 409, "not_requested"


class NotAnEditor(DomainError):
    """The target's user may not edit."""

    status, code = 409, "not_an_editor"


class IdentityInUse(DomainError):
    """Another machine is this workstation: two machines have one fingerprint, as copies of one image do."""

    status, code = 409, "identity_in_use"


class AlreadyExists(DomainError):
    """An item with this part number, in whichever spelling, already exists."""

    status, code = 409, "already_exists"


class Retired(DomainError):
    """The item is retired: nothing new is begun on it. What is edited goes on until it is released."""

    status, code = 409, "retired"


class Invalid(DomainError):
    """The request is not valid."""

    status, code = 422, "invalid"


class InvalidJson(DomainError):
    """The body is not a JSON document in UTF-8."""

    status, code = 422, "invalid_json"


class TooManySessions(DomainError):
    """The workstation, or its user, would hold more edit sessions than they may."""

    status, code = 422, "too_many_sessions"


class TooManyNodeKeys(DomainError):
    """The user's dependency cones would have more node keys together than they may."""

    status, code = 422, "too_many_node_keys"


class TooManyPlaces(DomainError):
    """The user would stand in more lines at once than they may."""

    status, code = 422, "too_many_places"


class TooManyWorkstations(DomainError):
    """The user would have more workstations than they may."""

    status, code = 422, "too_many_workstations"


class TooManyStreams(DomainError):
    """This workstation, or this user's streams without one, are as many as they may be on a server."""

    status, code = 429, "too_many_streams"


class TooManyWrongTokens(DomainError):
    """Too many tokens from this address were wrong; a good one is let in at once."""

    status, code = 429, "too_many_wrong_tokens"

    def __init__(self, seconds: float) -> None:
        super().__init__(inspect.getdoc(type(self)) or "")
        self.retry_after = ceil(seconds)


class StreamsNotServed(DomainError):
    """This is a server for development, which serves no event streams."""

    status, code = 501, "streams_not_served"
