"""`manage.py revoketoken PREFIX`: revokes a bearer token, at once on every server."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from sessions_app import accounts
from sessions_app.models import ApiToken
from sessions_app.models.api_token import SHOWN_CHARACTERS

BY = "manage.py revoketoken"


class Command(BaseCommand):
    help = "Revoke bearer tokens: one by its prefix, or all of a user's."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "prefix", nargs="?", help="the token's prefix, as `manage.py tokens` lists it"
        )
        parser.add_argument("--user", help="all tokens of this user")

    def handle(self, *args: Any, prefix: str | None, user: str | None, **options: Any) -> None:
        if (prefix is None) == (user is None):
            raise CommandError("Name a token by its prefix, or a user with --user.")
        revoked = (self._of(user) if user is not None else self._one(prefix or "")).revoke(BY)
        for token in revoked:
            self.stdout.write(f"{token.shown} of {token.user.get_username()} is revoked.")
        if not revoked:
            raise CommandError("There is no such token that is not revoked already.")

    def _of(self, user: str) -> Any:
        owner = accounts.find(user)
        if owner is None:
            raise CommandError(f"There is no user {user}.")
        return ApiToken.objects.filter(user=owner)

    def _one(self, prefix: str) -> Any:
        # A whole token is as good: whoever has found one need not count its characters.
        found = ApiToken.objects.filter(shown=prefix[:SHOWN_CHARACTERS])
        if found.count() > 1:
            # One pair in 2^48; its user has others.
            raise CommandError("Several tokens have this prefix: revoke the right one at /admin/.")
        return found
