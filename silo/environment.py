"""Which `SILO_...` variables there are: every other one is refused, as it would be a setting that does nothing."""

import os
import re
from collections.abc import Collection
from difflib import get_close_matches
from typing import Final

from django.core.exceptions import ImproperlyConfigured

PREFIX: Final = "SILO_"
# Read by `silo/settings.py` beside the keys of the configuration.
OF_SETTINGS: Final = ("SILO_CONFIG", "SILO_VAR")
# Of clients, which may run on the server's machine, in the same environment.
OF_CLIENTS: Final = (
    "SILO_CA_FILE",
    "SILO_CONFIG_HOME",
    "SILO_DEBUG",
    "SILO_FENCING_TOKEN",
    "SILO_MACHINE",
    "SILO_PART_NUMBER",
    "SILO_PYTHON",
    "SILO_SESSION_ID",
    "SILO_STATE",
    "SILO_TOKEN",
    "SILO_URL",
)
# Of tests and tools.
OF_TOOLS: Final = ("SILO_ATTACK_TREE", "SILO_AUDIT", "SILO_OLD_PYTHON")
TESTS: Final = "SILO_TEST_"
# Without the prefix, which some people put before them.
OTHERS: Final = ("DATABASE_URL", "PORT")
# Kubernetes tells every container of a service that is called `silo`, or `silo-database`.
_OF_A_SERVICE: Final = re.compile(
    r"SILO_(\w+_)?(SERVICE_HOST|SERVICE_PORT\w*|PORT_[0-9]+_(TCP|UDP|SCTP)\w*)=.*"
    r"|SILO_(\w+_)?PORT=(tcp|udp|sctp)://.*"
)
# How long a value may be in a message.
SHOWN_LENGTH: Final = 80


def refuse_unknown(keys: Collection[str]) -> None:
    """Refuse variables that nothing reads.

    Args:
        keys: the configuration's.

    Raises:
        ImproperlyConfigured: naming each, and what may be meant. Never the value: it may be a secret.
    """
    known = {variable(key) for key in keys} | {*OF_SETTINGS, *OF_CLIENTS, *OF_TOOLS}
    faults = [
        f"{name} is unknown{meant(name.upper(), {*known, *OTHERS})}"
        for name, value in sorted(os.environ.items())
        if (upper := name.upper()).startswith(PREFIX)
        and upper not in known
        and not upper.startswith(TESTS)
        and not _OF_A_SERVICE.fullmatch(f"{upper}={value}")
    ]
    if faults:
        raise ImproperlyConfigured(
            f"{stopped('; '.join(faults))} README.md lists the variables; unset what is not among them."
        )


def meant(name: str, known: Collection[str]) -> str:
    """Return the question whether the nearest known name is meant, "" if none is near."""
    # The whole of another name, with something before it, such as the section of a key.
    whole = [one for one in known if name.endswith(f"_{one.removeprefix(PREFIX)}")]
    near = sorted(whole, key=len)[-1:] or get_close_matches(name, known, 1)
    return f"; did you mean {near[0]}?" if near else ""


def stopped(sentence: str) -> str:
    """Return a sentence with a full stop, or the question mark that it has."""
    return sentence if sentence.endswith("?") else f"{sentence}."


def variable(key: str) -> str:
    """Return the variable of a key."""
    return f"{PREFIX}{key.upper()}"


def where(key: str) -> str | None:
    """Return the variable by which a key is set, as it is written in the environment; None if by none."""
    return next((name for name in os.environ if name.upper() == variable(key)), None)


def shown(value: object) -> str:
    """Return a value as a message shows it."""
    text = repr(value)
    return text if len(text) <= SHOWN_LENGTH else f"{text[:SHOWN_LENGTH]}..."
