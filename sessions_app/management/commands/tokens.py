"""`manage.py tokens`: lists bearer tokens by their prefix, one in a line. The tokens themselves are not kept."""

from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from sessions_app import accounts
from sessions_app.models import ApiToken
from sessions_app.text import without_refused

HEADINGS = ("PREFIX", "USER", "ROLE", "EXPIRES", "LAST USED", "STATE", "NAME")


class Command(BaseCommand):
    help = "List bearer tokens by their prefix: whose they are, until when, and when they were last used."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--user", help="only those of this user")
        parser.add_argument(
            "--all", action="store_true", help="also those that are revoked, expired, or no good"
        )

    def handle(self, *args: Any, user: str | None, all: bool, **options: Any) -> None:
        tokens = ApiToken.objects.with_state().select_related("user").order_by("pk")
        if user is not None:
            owner = accounts.find(user)
            if owner is None:
                raise CommandError(f"There is no user {user}.")
            tokens = tokens.filter(user=owner)
        self.stdout.write("\t".join(HEADINGS))
        for token in (tokens if all else tokens.valid()).iterator(1000):
            cells = (
                token.shown,
                token.user.get_username(),
                token.role,
                _when(token.expires_at),
                _when(token.last_used_at),
                token.state,
                token.name,
            )
            self.stdout.write("\t".join(map(without_refused, cells)))


def _when(time: datetime | None) -> str:
    return "never" if time is None else f"{time:%Y-%m-%d %H:%M:%SZ}"
