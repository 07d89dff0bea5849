"""What can go wrong, each with a sentence that says what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from silo_client.common.visible import visible
from silo_client.data import Holder


class SiloError(Exception):
    """Anything that this package raises. As text everything in it can be seen, also what a server has said."""

    def __str__(self) -> str:
        """Return what went wrong, as a terminal or a log may show it."""
        return visible(super().__str__())


class ServerUnavailableError(SiloError):
    """The server cannot be reached, or says that it cannot serve now."""


class ConfigurationError(SiloError, ValueError):
    """The server's address, the token, the CA file or a variable of the environment is invalid."""


class HelperError(SiloError):
    """The helper process could not be started."""


class StateError(SiloError):
    """The folder for what windows of one workstation know of each other cannot be used."""


class NoWindowError(SiloError):
    """As many windows of one workstation are open as there may be."""


class ClosedError(SiloError):
    """The workstation was closed."""


class ForkedError(SiloError):
    """The workstation is the parent's, and this process is a forked child of it."""


class WaitTimeoutError(SiloError):
    """The turn in the line did not come in time; the place is given up."""


class ApiError(SiloError):
    """The server has refused a request; nothing was changed.

    Args:
        status: the HTTP status.
        code: the server's name for the error.
        message: the server's sentence for a person, as it came.
        details: everything that the answer says.
    """

    def __init__(self, status: int, code: str, message: str, details: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = dict(details)


class AuthenticationError(ApiError):
    """The token is not valid, or no longer (401)."""


class ForbiddenError(ApiError):
    """It needs a higher role, or it is somebody else's (403)."""


class NotFoundError(ApiError):
    """There is no such thing, or it has ended (404)."""


class IdentityInUseError(ApiError):
    """Another machine is this workstation: one of the two is a copy of the other (409 `identity_in_use`)."""

    @property
    def workstation(self) -> str:
        """The name of the workstation."""
        return str((self.details.get("workstation") or {}).get("name", "this workstation"))

    def saying(self, message: str) -> IdentityInUseError:
        """Return the same with another message."""
        return IdentityInUseError(self.status, self.code, message, self.details)

    @property
    def connected(self) -> bool:
        """Whether the other machine is connected now; if not, it may come back."""
        return bool(self.details.get("connected"))

    @property
    def seconds(self) -> float:
        """For how long a machine that has died may be taken for that."""
        return float(self.details.get("seconds") or 0.0)


class NotConnectedError(ApiError):
    """The event stream of the workstation has ended (409 `not_connected`)."""


class StaleTokenError(ApiError):
    """The session is not live, or not with this token (409 `stale_token`)."""


class InvalidRequestError(ApiError):
    """The server does not understand what was asked (422)."""


class HardInterferenceError(ApiError):
    """Another workstation is editing it (409 `hard_interference`)."""

    @property
    def holders(self) -> list[Holder]:
        """Who is in the way: one, or several of a batch."""
        held = self.details.get("holders") or [self.details.get("holder") or {}]
        return [Holder.from_payload(one) for one in held]

    @property
    def holder(self) -> Holder:
        """Who is in the way; the first of them."""
        return self.holders[0]


_BY_CODE = {
    "hard_interference": HardInterferenceError,
    "identity_in_use": IdentityInUseError,
    "not_connected": NotConnectedError,
    "stale_token": StaleTokenError,
}
_BY_STATUS = {
    401: AuthenticationError,
    403: ForbiddenError,
    404: NotFoundError,
    422: InvalidRequestError,
}


def refusal(status: int, body: Any) -> ApiError | None:
    """Return the exception for a refusal of the API, or None where somebody else answered: a proxy, say."""
    if not isinstance(body, dict) or not isinstance(body.get("error"), str):
        return None
    code, message = body["error"], str(body.get("message", ""))
    kind = _BY_CODE.get(code) or _BY_STATUS.get(status, ApiError)
    return kind(status, code, message, body)
