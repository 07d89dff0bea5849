#!/usr/bin/env python
"""Django's command line for Silo Sessions: `serve`, `runsweeper`, `migrate`, `createtoken` and the rest."""

import atexit
import gc
import os
import signal
import sys
from typing import Any


def main() -> None:
    # At its end the interpreter collects no garbage: that takes it most of a second for the objects of Django, and
    # frees nothing that the end of the process does not.
    atexit.register(gc.freeze)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "silo.settings")
    # Left in order, an embedded database included. `serve` and `runsweeper` have their own way.
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, _leave)
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db import OperationalError

    try:
        if sys.argv[1:2] in (["version"], ["--version"]):
            # Django would print its own version, and no other.
            from silo.management.commands import version

            version.Command().run_from_argv(["manage.py", "version", *sys.argv[2:]])
        else:
            execute_from_command_line(sys.argv)
    except (ImproperlyConfigured, OperationalError) as error:
        if "--traceback" in sys.argv:
            raise
        sys.stderr.write(f"{sys.argv[0]}: {str(error).strip()}\n")
        # To start it again, as systemd does, would be of no use before somebody has changed the configuration.
        sys.exit(os.EX_CONFIG if isinstance(error, ImproperlyConfigured) else 1)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def _leave(number: int, frame: Any) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
