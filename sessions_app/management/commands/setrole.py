"""`manage.py setrole USER ROLE`: gives a user a role, or takes it away."""

import logging
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from sessions_app import accounts
from sessions_app.roles import Role

logger = logging.getLogger(__name__)

NONE = "none"


class Command(BaseCommand):
    help = "Give a user a role instead of the one before, or take it away."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user", help="the username, in any spelling")
        parser.add_argument(
            "role",
            choices=[*(role.group for role in Role), NONE],
            help="the role; `none` takes it away",
        )

    def handle(self, *args: Any, user: str, role: str, **options: Any) -> None:
        owner = accounts.find(user)
        if owner is None:
            raise CommandError(f"There is no user {user}; `createtoken --create-user` makes one.")
        if owner.is_superuser:
            raise CommandError(
                f"{owner.username} is a superuser, who may do everything; /admin/ takes that away."
            )
        before = Role.of(owner)
        Role.give(owner, None if role == NONE else Role[role.upper()])
        said = {"user": owner.username, "role": role, "before": before.group if before else NONE}
        logger.info("role set", extra=said)
        what = "has no role" if role == NONE else f"is {role}"
        self.stdout.write(f"{owner.username} {what} now; before: {said['before']}.")
