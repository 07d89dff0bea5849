"""`manage.py newepoch`: after a restore from a backup, or a failover that lost commits."""

from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError

from sessions_app import operations
from sessions_app.operations.epoch import MAX_TOKEN, TOKEN_LEAP


def _token(text: str) -> int:
    if not text.isdecimal() or int(text) > MAX_TOKEN - TOKEN_LEAP:
        raise ArgumentTypeError(f"{text!r} is no fencing token")
    return int(text)


class Command(BaseCommand):
    help = (
        "After a restore from a backup, or a failover that lost commits: raise all fencing tokens above any that was "
        "issued, and have every event stream begin anew. Servers may run meanwhile."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--above",
            type=_token,
            default=0,
            metavar="TOKEN",
            help="the highest fencing token that a vault has seen, if it is known",
        )

    def handle(self, *args: Any, above: int, **options: Any) -> None:
        try:
            new = operations.epoch.begin(above)
        except ValueError as error:
            raise CommandError(str(error)) from error
        except OperationalError as error:
            raise CommandError(f"Nothing was changed, try again: {error}") from error
        self.stdout.write(
            f"Epoch {new.epoch}: every fencing token is above {new.tokens_above}; "
            f"{new.sessions} active sessions have a new one. Every stream is reset."
        )
