"""What the domain refuses, as the API answers it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sessions_app import payloads

if TYPE_CHECKING:
    from sessions_app.models import EditSession


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
    """Other workstations hold what is wanted; `holder`, or of a batch `holders`, says which."""

    status, code = 409, "hard_interference"

    @classmethod
    def by(cls, holders: "Sequence[EditSession]") -> "HardInterference":
        """Return the refusal of a batch; `holders` are the sessions in the way, with their names."""
        first = holders[0]
        more = f", and {len(holders) - 1} more are held" if len(holders) > 1 else ""
        return cls(
            f"{first.user.get_username()} is editing {first.item} on {first.workstation.name}{more}.",
            holders=[
                {"part_number": held.item.part_number} | payloads.holder_json(held)
                for held in holders
            ],
        )

    def of_one(self) -> "HardInterference":
        """Return the refusal of a single session."""
        holder = self.details["holders"][0]
        return HardInterference(
            f"{holder['user']} is editing this on {holder['workstation']['name']}.",
            holder={key: value for key, value in holder.items() if key != "part_number"},
        )


class NotConnected(DomainError):
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


class AlreadyExists(DomainError):
    status, code = 409, "already_exists"


class Invalid(DomainError):
    status, code = 422, "invalid"
