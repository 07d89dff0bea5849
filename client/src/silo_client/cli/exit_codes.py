"""With which code `silo` ends, and what it says when something went wrong."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

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


class ExitCode(IntEnum):
    """The codes of `silo` itself. `silo edit` ends with its command's own, where nothing of this happened."""

    OK = 0, "all is well"
    ERROR = 1, "another error"
    USAGE = 2, "the command line is not understood, or names several things where one is needed"
    NOT_LOGGED_IN = 3, "not logged in, or the token is refused"
    NOT_ALLOWED = 4, "not allowed: it needs a higher role, or is somebody else's"
    NOT_FOUND = 5, "there is no such thing, or it has ended"
    HELD = 6, "somebody else is editing it"
    TIMED_OUT = 7, "the turn did not come in the time that was given"
    UNREACHABLE = 8, "the server cannot be reached, or cannot serve now"
    LOST = (
        9,
        "the session was lost while the command ran, or nobody can say, even if the command succeeded",
    )
    NOT_EXECUTABLE = 126, "the command cannot be executed"
    COMMAND_NOT_FOUND = 127, "there is no such command"

    reason: str

    def __new__(cls, value: int, reason: str) -> ExitCode:
        """Make a code with its reason."""
        code = int.__new__(cls, value)
        code._value_ = value
        code.reason = reason
        return code


# A command, or `silo` itself, that a signal has ended: this and the signal's number, as shells say it.
KILLED = 128


class CommandError(Exception):
    """What went wrong, as a person reads it.

    Args:
        message: a sentence.
        advice: what to do next, a sentence; "" where that is plain.
        code: with what to end.
        lines: what the sentence is about, each in a line of its own.
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
_CODES: tuple[tuple[type[SiloError], ExitCode, str], ...] = (
    (NotLoggedInError, ExitCode.NOT_LOGGED_IN, LOG_IN),
    (AuthenticationError, ExitCode.NOT_LOGGED_IN, "Run `silo login` with a token that is valid."),
    (ForbiddenError, ExitCode.NOT_ALLOWED, "An admin can give your user a higher role."),
    (NotFoundError, ExitCode.NOT_FOUND, ""),
    (InvalidRequestError, ExitCode.USAGE, ""),
    (HardInterferenceError, ExitCode.HELD, "`silo who` says who edits what."),
    (WaitTimeoutError, ExitCode.TIMED_OUT, ""),
    (
        ServerUnavailableError,
        ExitCode.UNREACHABLE,
        "See that the server runs and that the address is right: `silo login` keeps it, SILO_URL overrides it.",
    ),
)


def explain(error: SiloError) -> CommandError:
    """Return an error of the library as a person reads it."""
    for kind, code, advice in _CODES:
        if isinstance(error, kind):
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                advice = "If the server has a certificate of your own authority, name it: `silo login --ca-file FILE`."
            return CommandError(_sentence(error), advice, code)
    return CommandError(_sentence(error))


def _sentence(error: SiloError) -> str:
    if isinstance(error, AuthenticationError):
        # The server's sentence is for who writes a client.
        return "The server does not accept the token."
    text = str(error).strip() or type(error).__name__
    if isinstance(error, ApiError):
        faults = error.details.get("faults") or []
        reasons = [f"{fault.get('where')}: {fault.get('why')}" for fault in faults]
        # The message names the first of them.
        more = [reason for reason in reasons if reason not in text]
        text = " ".join([text, *([f"({'; '.join(more)})"] if more else [])])
    return text if text.endswith((".", "!", "?", ")")) else f"{text}."
