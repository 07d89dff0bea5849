"""Edit sessions of a Silo server.

from silo_client import Workstation

with Workstation.connect("https://silo.example.com", token) as workstation:
    with workstation.edit("A01-0002", level="sketch", object_id="Sketch001") as session:
        ...
"""

from silo_client.api import Api
from silo_client.compat import SiloClient
from silo_client.data import (
    Conflict,
    EditSessionResult,
    HandoffRequest,
    Holder,
    Lock,
    Lost,
    Waiting,
    Wanted,
)
from silo_client.edit_session import EditSession, EditSessions
from silo_client.errors import (
    ApiError,
    AuthenticationError,
    ClosedError,
    ConfigurationError,
    ForbiddenError,
    ForkedError,
    HardInterferenceError,
    HelperError,
    IdentityInUseError,
    InvalidRequestError,
    NotConnectedError,
    NotFoundError,
    NoWindowError,
    ServerUnavailableError,
    SiloError,
    StaleTokenError,
    StateError,
    WaitTimeoutError,
)
from silo_client.version import __version__
from silo_client.workstation import Workstation

__all__ = [
    "Api",
    "ApiError",
    "AuthenticationError",
    "ClosedError",
    "ConfigurationError",
    "Conflict",
    "EditSession",
    "EditSessionResult",
    "EditSessions",
    "ForbiddenError",
    "ForkedError",
    "HandoffRequest",
    "HardInterferenceError",
    "HelperError",
    "Holder",
    "IdentityInUseError",
    "InvalidRequestError",
    "Lock",
    "Lost",
    "NoWindowError",
    "NotConnectedError",
    "NotFoundError",
    "ServerUnavailableError",
    "SiloClient",
    "SiloError",
    "StaleTokenError",
    "StateError",
    "WaitTimeoutError",
    "Waiting",
    "Wanted",
    "Workstation",
    "__version__",
]
