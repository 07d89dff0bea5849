"""`manage.py version`: the versions that a bug report has to name."""

import platform
from typing import Any

import django
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand
from django.db import OperationalError, connection

from silo import __version__


class Command(BaseCommand):
    help = "Print the versions of Silo Sessions, Python, Django and, if it can be reached, of the PostgreSQL server."
    # A broken configuration is when the versions are asked for.
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"Silo Sessions {__version__}")
        self.stdout.write(f"Python {platform.python_version()}")
        self.stdout.write(f"Django {django.get_version()}")
        self.stdout.write(f"PostgreSQL {_postgresql_version()}")


def _postgresql_version() -> str:
    """Return the version of the server, or the reason why it is not known."""
    try:
        connection.ensure_connection()
        return str(connection.connection.info.parameter_status("server_version"))
    except (ImproperlyConfigured, OperationalError) as error:
        reason = str(error).strip().partition("\n")[0]
        return f"not reached: {reason}"
