"""`manage.py mergeitems KEEP OTHER...`: makes items one that are one part."""

import uuid
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from sessions_app.errors import NotFound
from sessions_app.models import Item
from sessions_app.operations.merge import TwoHolders, merge


class Command(BaseCommand):
    help = (
        "Merge items that are one part. The first item gets the sessions, lines and record of the others, "
        "and their part numbers find it. Also before `migrate` has made part numbers unique in every spelling."
    )
    # What it checks is in the database, which may be of before a migration.
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "keep", help="the item that stays: its id, or its part number letter for letter"
        )
        parser.add_argument("other", nargs="+", help="the items that become it")

    def handle(self, *args: Any, keep: str, other: list[str], **options: Any) -> None:
        kept, *others = [_id(text) for text in [keep, *other]]
        if len({kept, *others}) <= len(others):
            raise CommandError("Name each item once.")
        try:
            merge(kept, others)
        except (NotFound, TwoHolders) as error:
            raise CommandError(f"Nothing was changed. {error}") from error
        self.stdout.write(f"{len(others) + 1} items are one now.")


def _id(text: str) -> uuid.UUID:
    """Return the id of an item: by its id, or as its part number stands in the database."""
    found = Item.objects.filter(part_number=text).values_list("pk", flat=True).first()
    if found is not None:
        return found
    try:
        return uuid.UUID(text)
    except ValueError:
        raise CommandError(f"There is no item {text!r}, letter for letter.") from None
