"""What the environment says of the play: `ENGINEERS`, `SEED`, `PORT` and the data folder."""

import os
import sys
from pathlib import Path

ENGINEERS = 30
# Each is two processes: more of them are a load test, and no demonstration.
MOST_ENGINEERS = 100


def engineers() -> int:
    """Return how many engineers are to work.

    Raises:
        SystemExit: `ENGINEERS` is no number from 1 to 100.
    """
    text = os.environ.get("ENGINEERS") or str(ENGINEERS)
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MOST_ENGINEERS):
        sys.exit(f"ENGINEERS={text} is not a number from 1 to {MOST_ENGINEERS}.")
    return int(text)


def seed() -> str:
    """Return the seed of all random numbers."""
    return os.environ.get("SEED") or "1"


def url() -> str:
    """Return the server's address."""
    return f"http://127.0.0.1:{os.environ.get('PORT') or '8000'}"


def folder() -> Path:
    """Return the data folder of the demonstration.

    Raises:
        SystemExit: `SILO_VAR` does not name it.
    """
    named = os.environ.get("SILO_VAR")
    if not named:
        sys.exit("SILO_VAR has to name the folder of the demonstration: start it by `make demo`.")
    return Path(named).resolve()
