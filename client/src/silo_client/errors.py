"""The exceptions of this package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from silo_client.common.visible import visible
from silo_client.data import Holder


class SiloError(Exception):
    """The base of all exceptions. Its text has no hidden characters, whatever a server has sent."""

    def __str__(self) -> str:
        """Return the message as a terminal or a log may show it."""
        return visible(super().__str__())


class ServerUnavailableError(SiloError):
    """The server cannot be reached, or cannot serve now."""


class ConfigurationError(SiloError, ValueError):
    """The server URL, the token, the CA file or a variable of the environment is invalid."""


class HelperError(SiloError):
    """The helper process could not be started."""


class StateError(SiloError):
    """The state folder, in which the instances of a workstation find each other, cannot be used."""


class NoWindowError(SiloError):
    """As many instances of the workstation run as there may be."""


class ClosedError(SiloError):
    """The workstation was closed."""


class CancelledError(SiloError):
    """The connecting was cancelled; nothing is left of it."""


class ForkedError(SiloError):
    """The workstation belongs to the parent of this forked process."""


class WaitTimeoutError(SiloError):
    """The turn did not come in time; the line was left."""


class ApiError(SiloError):
    """The server has refused a request; nothing was changed.

    Args:
        status: the HTTP status.
        code: the error code of the API.
        message: the server's message, unchanged.
        details: all members of the answer.
    """

    def __init__(self, status: int, code: str, message: str, details: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = dict(details)


class AuthenticationError(ApiError):
    """The token is not, or no longer, valid (401)."""


class ForbiddenError(ApiError):
    """The request needs a higher role, or concerns another user's object (403)."""


class NotFoundError(ApiError):
    """The item, session or workstation does not exist, or has ended (404)."""


class IdentityInUseError(ApiError):
    """Another machine has this workstation's identity: one is a copy of the other (409 `identity_in_use`)."""

    @property
    def workstation(self) -> str:
        """The name of the workstation."""
        return str((self.details.get("workstation") or {}).get("name", "this workstation"))

    def saying(self, message: str) -> IdentityInUseError:
        """Return the same error with another message."""
        return IdentityInUseError(self.status, self.code, message, self.details)

    @property
    def connected(self) -> bool:
        """Whether the other machine is connected now; if not, it may come back."""
        return bool(self.details.get("connected"))

    @property
    def seconds(self) -> float:
        """The seconds for which a dead machine may count as connected."""
        return float(self.details.get("seconds") or 0.0)


class NotConnectedError(ApiError):
    """The event stream of the workstation has ended (409 `not_connected`)."""


class StaleTokenError(ApiError):
    """The session is not live, or not with this token (409 `stale_token`)."""


class InvalidRequestError(ApiError):
    """The request is invalid (422)."""


class HardInterferenceError(ApiError):
    """Another workstation holds the lock (409 `hard_interference`)."""

    @property
    def holders(self) -> list[Holder]:
        """The holders of the lock, or of several locks of a batch."""
        held = self.details.get("holders") or [self.details.get("holder") or {}]
        return [Holder.from_payload(one) for one in held]

    @property
    def holder(self) -> Holder:
        """The first of the holders."""
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
    """Return the exception for a refusal of the API; None where the answer is not the API's, but a proxy's."""
    if not isinstance(body, dict) or not isinstance(body.get("error"), str):
        return None
    code, message = body["error"], str(body.get("message", ""))
    kind = _BY_CODE.get(code) or _BY_STATUS.get(status, ApiError)
    return kind(status, code, message, body)
