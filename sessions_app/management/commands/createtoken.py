"""`manage.py createtoken USER`: prints a new bearer token, alone, on stdout."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from sessions_app import accounts
from sessions_app.models import ApiToken
from sessions_app.roles import Role
from sessions_app.text import text_fault
from sessions_app.token_rules import MAX_DAYS, MAX_NAME, why_not


class Command(BaseCommand):
    help = "Print a new bearer token for a user. It is shown once; only its hash is kept."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user", help="the username")
        parser.add_argument(
            "--role",
            choices=[role.group for role in Role],
            default=Role.VIEWER.group,
            help="the most that the token allows (default: viewer)",
        )
        parser.add_argument("--name", default="", help="what the token is for")
        parser.add_argument(
            "--create-user",
            action="store_true",
            help="make the user, in that role, if there is none",
        )
        parser.add_argument("--days", type=float, help="how long it is valid (default: no end)")

    @transaction.atomic
    def handle(
        self,
        *args: Any,
        user: str,
        role: str,
        name: str,
        create_user: bool,
        days: float | None,
        **options: Any,
    ) -> None:
        if days is not None and not 0 < days <= MAX_DAYS:
            raise CommandError(f"--days must be more than 0 and at most {MAX_DAYS}.")
        lifetime = None if days is None else timedelta(days=days)
        if lifetime is not None and not lifetime:
            raise CommandError("--days is too small: give at least a microsecond.")
        if fault := text_fault(user) or text_fault(name):
            raise CommandError(f"The user and --name are plain text: {fault}.")
        if len(name) > MAX_NAME:
            raise CommandError(f"--name has at most {MAX_NAME} characters.")
        wanted = Role[role.upper()]
        owner = self._user(user, wanted, create=create_user)
        if fault := why_not(owner, wanted):
            raise CommandError(fault)
        _, token = ApiToken.objects.issue(owner, name or f"{role} token", role, lifetime)
        self.stdout.write(token)

    def _user(self, username: str, role: Role, *, create: bool) -> Any:
        users = get_user_model().objects
        found = accounts.find(username)
        if found is not None:
            if found.username != username:
                self.stderr.write(f"{username} is the user {found.username}.")
            return found
        if not create:
            raise CommandError(f"There is no user {username}; --create-user makes one.")
        user = users.model(username=username)
        user.set_unusable_password()
        try:
            user.full_clean(exclude=["password"])
        except ValidationError as error:
            raise CommandError(
                f"{username!r} is not a username: {' '.join(error.messages)}"
            ) from error
        user.save()
        Role.give(user, role)
        return user
