"""The exit codes of `silo`, and its error messages."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import httpx

from silo_client.credentials import NotLoggedInError
from silo_client.errors import (
    ApiError,
    AuthenticationError,
    ForbiddenError,
    HardInterferenceError,
    InvalidRequestError,
    NotFoundError,
    ServerUnavailableError,
    SiloError,
    WaitTimeoutError,
)
from silo_client.network.wrong_address import speaks_tls, with_https


class ExitCode(IntEnum):
    """The codes of `silo` itself. In all other cases `silo edit` ends with the code of its command."""

    OK = 0, "success"
    ERROR = 1, "another error"
    USAGE = 2, "the command line is invalid, or matches several sessions where one is needed"
    NOT_LOGGED_IN = 3, "not logged in, or the token is refused"
    NOT_ALLOWED = (
        4,
        "not allowed: the request needs a higher role, or concerns what belongs to another user",
    )
    NOT_FOUND = 5, "there is no such part or session, or the session has ended"
    HELD = 6, "the part is being edited elsewhere"
    TIMED_OUT = 7, "the turn did not come in time"
    UNREACHABLE = 8, "the server cannot be reached, or cannot serve now"
    LOST = (
        9,
        "the session was lost while the command ran, or may have been, even if the command succeeded",
    )
    NOT_EXECUTABLE = 126, "the command cannot be executed"
    COMMAND_NOT_FOUND = 127, "the command was not found"

    reason: str

    def __new__(cls, value: int, reason: str) -> ExitCode:
        code = int.__new__(cls, value)
        code._value_ = value
        code.reason = reason
        return code


# The code of a command, or of `silo`, that a signal has ended is this plus the signal's number, as in shells.
KILLED = 128


class CommandError(Exception):
    """An error, as a person reads it.

    Args:
        message: a sentence.
        advice: a sentence about what to do next; "" where that is plain.
        code: the exit code.
        lines: details, each in a line of its own.
    """

    def __init__(
        self,
        message: str,
        advice: str = "",
        code: ExitCode = ExitCode.ERROR,
        lines: Sequence[str] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.lines = lines
        self.advice = advice
        self.code = code


LOG_IN = "Run `silo login`, or set SILO_URL and SILO_TOKEN."
FORBIDDEN = (
    "`silo whoami` says which role you have, and to which one your token is limited: make another token on the board,"
    " or ask an admin for a higher role."
)
_CODES: tuple[tuple[type[SiloError], ExitCode, str], ...] = (
    (NotLoggedInError, ExitCode.NOT_LOGGED_IN, LOG_IN),
    (AuthenticationError, ExitCode.NOT_LOGGED_IN, "Run `silo login` with a token that is valid."),
    (ForbiddenError, ExitCode.NOT_ALLOWED, FORBIDDEN),
    (NotFoundError, ExitCode.NOT_FOUND, ""),
    (InvalidRequestError, ExitCode.USAGE, ""),
    (HardInterferenceError, ExitCode.HELD, "`silo who` says who edits what."),
    (WaitTimeoutError, ExitCode.TIMED_OUT, ""),
    (
        ServerUnavailableError,
        ExitCode.UNREACHABLE,
        "Check that the server runs and that its URL is right: `silo login` keeps it, SILO_URL overrides it.",
    ),
)


def explain(error: SiloError) -> CommandError:
    """Return an error of the library with advice and exit code."""
    for kind, code, advice in _CODES:
        if isinstance(error, kind):
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                advice = "If your own authority has signed the server's certificate: `silo login --ca-file FILE`."
            elif " through the proxy " in str(error):
                advice = "Where the server is to be reached without the proxy, list its host in NO_PROXY."
            elif secure := _speaks_https(error):
                advice = f"What answers there speaks HTTPS: give {secure} as the server's URL."
            return CommandError(_sentence(error), advice, code)
    return CommandError(_sentence(error))


def _speaks_https(error: SiloError) -> str:
    """Return the address with https where something that speaks it has closed the connection of plain HTTP; else ""."""
    cause = error.__cause__
    if not isinstance(cause, (httpx.ReadError, httpx.RemoteProtocolError)):
        return ""
    asked = cause.request.url
    if asked.scheme != "http" or not speaks_tls(asked):
        return ""
    return with_https(asked.copy_with(path="/", query=None)).rstrip("/")


def _sentence(error: SiloError) -> str:
    if isinstance(error, AuthenticationError):
        # The server's sentence is meant for authors of clients.
        return "The server does not accept the token."
    text = str(error).strip() or type(error).__name__
    if isinstance(error, ApiError):
        faults = error.details.get("faults") or []
        reasons = [f"{fault.get('where')}: {fault.get('why')}" for fault in faults]
        # The message contains the first of them.
        more = [reason for reason in reasons if reason not in text]
        text = " ".join([text, *([f"({'; '.join(more)})"] if more else [])])
    return text if text.endswith((".", "!", "?", ")")) else f"{text}."
