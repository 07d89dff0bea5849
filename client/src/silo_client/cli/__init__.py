"""The command `silo`."""

import sys
from importlib.util import find_spec

# Of the extra `cli`.
NEEDED = ("rich", "typer")


def run() -> None:
    """Run `silo` with the arguments of the process, and end with its exit code.

    Where its packages are missing, a sentence says what to install.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        sys.exit(
            f"silo: The command line needs {' and '.join(missing)}: install the extra cli, as in"
            f' {sys.executable} -m pip install "silo-client[cli] @ http://silo.example.com:8000/client"'
        )
    from silo_client.cli import main

    main.run()
