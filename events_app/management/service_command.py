"""The base of commands that run until they are told to stop."""

from typing import Any

from django.core.management.base import BaseCommand, SystemCheckError

from events_app.database.start import EXIT_CODE


class ServiceCommand(BaseCommand):
    """A command that a service manager need not start again where the configuration does not pass its checks."""

    def check(self, *args: Any, **kwargs: Any) -> None:
        """Run Django's checks.

        Raises:
            SystemCheckError: with the exit code of a wrong configuration.
        """
        try:
            super().check(*args, **kwargs)
        except SystemCheckError as error:
            error.returncode = EXIT_CODE
            raise
