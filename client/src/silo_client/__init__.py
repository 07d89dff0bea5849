"""Edit sessions of a Silo server.

from silo_client import Workstation

with Workstation.connect("https://silo.example.com", token) as workstation:
    with workstation.edit("A01-0002", level="sketch", object_id="Sketch001") as session:
        ...

Two processes run this package, the program's own and the helper that it starts:

* program: `workstation`, `connecting`, `messages`, `api`, `callbacks`, `gui`, `compat`, `credentials`, `forking`,
  `state`, `watching`, and the folders `sessions`, `link`, `identity` and `cli`;
* helper: the folder `helper`;
* both: `data`, `errors`, `version`, and the folders `common` and `network`.

Plug-ins import from `silo_client` itself, and the names of `__all__` from `silo_client.credentials`; everything else
below it may move.
"""

from silo_client import credentials
from silo_client.api import Api
from silo_client.callbacks import Undelivered
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
from silo_client.errors import (
    ApiError,
    AuthenticationError,
    CancelledError,
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
from silo_client.network.time_limit import within
from silo_client.sessions.edit_session import EditSession, EditSessions
from silo_client.version import __version__
from silo_client.watching import Watched, WatchedItem, WatchedPlace, WatchedSession
from silo_client.workstation import Workstation

__all__ = [
    "Api",
    "ApiError",
    "AuthenticationError",
    "CancelledError",
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
    "Undelivered",
    "WaitTimeoutError",
    "Waiting",
    "Wanted",
    "Watched",
    "WatchedItem",
    "WatchedPlace",
    "WatchedSession",
    "Workstation",
    "__version__",
    "credentials",
    "within",
]
