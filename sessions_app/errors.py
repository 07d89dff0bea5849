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
    status, code = 401, "not_authenticated"


class Forbidden(DomainError):
    status, code = 403, "forbidden"


class NotFound(DomainError):
    status, code = 404, "not_found"


class HardInterference(DomainError):
    """Another workstation holds the object; `holder` says which."""

    status, code = 409, "hard_interference"


class NotConnected(DomainError):
    status, code = 409, "not_connected"


class StaleToken(DomainError):
    """The session is not live, or not with this token."""

    status, code = 409, "stale_token"


class AlreadyExists(DomainError):
    status, code = 409, "already_exists"


class Invalid(DomainError):
    status, code = 422, "invalid"
