"""What the domain refuses, as the API answers it."""

from typing import Any


class DomainError(Exception):
    """A request that is understood and refused; nothing was changed.

    Args:
        message: a sentence for a person.
        details: further members of the answer.
    """

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


class NotConnected(DomainError):
    """The event stream of this connection has ended; open a new one."""

    status, code = 409, "not_connected"


class StaleToken(DomainError):
    """The session is not live, or not with this token."""

    status, code = 409, "stale_token"


class AlreadyExists(DomainError):
    """There is one of this name already."""

    status, code = 409, "already_exists"


class Invalid(DomainError):
    """The request is not valid."""

    status, code = 422, "invalid"
