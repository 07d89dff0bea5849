"""What `migrate` and `flush` create that is missing, and what `migrate` refuses to destroy."""

import logging
from typing import Any

from django.apps import apps as installed
from django.core.management.base import CommandError
from django.db.models import Model

from sessions_app import accounts
from sessions_app.roles import Role

logger = logging.getLogger(__name__)

# Undone, they leave no record, or one that can be changed.
KEEP_THE_RECORD = {("sessions_app", "0001_initial"), ("sessions_app", "0002_database_rules")}


def create_roles(using: str, apps: Any = installed, **_: Any) -> None:
    """Create the groups that are the roles, where they are missing: the receiver of `post_migrate`."""
    try:
        groups = apps.get_model("auth", "Group").objects.using(using)
    except LookupError:
        return
    for role in Role:
        groups.get_or_create(name=role.group)


def warn_of_twins(using: str, apps: Any = installed, **_: Any) -> None:
    """Name the users who have several accounts, each in a spelling of its own: a receiver of `post_migrate`.

    `migrate` goes on: each account is found under its exact name, and only people know whether two are one person.
    """
    try:
        users = apps.get_model("auth", "User").objects.using(using)
    except LookupError:
        return
    for names in accounts.twins(users.order_by("pk").values_list("username", flat=True)):
        logger.warning(
            "these users differ in spelling only; deactivate all but one if they are one person",
            extra={"users": ", ".join(names)},
        )


def refuse_to_lose_the_record(using: str, plan: Any = (), **_: Any) -> None:
    """Refuse to undo what keeps the record, before anything is undone: the receiver of `pre_migrate`.

    Raises:
        CommandError: there is a record, or there are sessions that would get none.
    """
    undone = {(step.app_label, step.name) for step, backwards in plan if backwards}
    if undone & KEEP_THE_RECORD and (kept := what_would_be_lost(using)):
        raise CommandError(
            f"Nothing was undone: this would delete {kept}, or let anybody change it. "
            "Where that is wanted, run `manage.py flush --yes-delete-the-record` before."
        )


def what_would_be_lost(using: str) -> str:
    """Return what an emptied database would lose that nobody may delete; empty if there is none."""
    tables: dict[str, type[Model]] = {
        "the record of ended sessions": installed.get_model("sessions_app", "EndedSession"),
        "sessions that are active": installed.get_model("sessions_app", "EditSession"),
    }
    there = [name for name, model in tables.items() if model._base_manager.using(using).exists()]
    return " and ".join(there)
