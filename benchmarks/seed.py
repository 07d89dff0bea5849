"""Fills the database of one build: a program that runs in that build's folder, with its Python and its models.

Reads calls as lines of JSON, `["users", 50]`, and answers each with a line. It must run with earlier builds too, so it
uses little of the models, and nothing else of this folder.
"""

import json
import os
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path.cwd()))
os.environ["DJANGO_SETTINGS_MODULE"] = "silo.settings"

import django

django.setup()

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db import connection

from sessions_app.models import ApiToken, EditSession, Item, Workstation


def parameters() -> dict[str, Any]:
    """Return where the database is."""
    given = connection.get_connection_params()
    return {key: given[key] for key in ("host", "port", "user", "dbname") if given.get(key)}


def users(count: int) -> list[tuple[int, str]]:
    """Make editors; return the id and a token of each."""
    editors, _ = Group.objects.get_or_create(name="editor")
    made = []
    for _ in range(count):
        user = get_user_model().objects.create_user(f"bench-{uuid.uuid4().hex}")
        user.groups.add(editors)
        made.append((user.pk, ApiToken.objects.issue(user, "bench", "admin", None)[1]))
    return made


def workstations(user_ids: list[int], count: int) -> list[str]:
    """Make workstations, of each user in turn; return their ids."""
    rows = [
        Workstation(
            user_id=user_ids[number % len(user_ids)], name="w", fingerprint=uuid.uuid4().hex
        )
        for number in range(count)
    ]
    return [str(row.pk) for row in Workstation.objects.bulk_create(rows, batch_size=5000)]


def items(count: int) -> list[str]:
    """Make items; return their part numbers."""
    prefix = uuid.uuid4().hex[:12]
    rows = [Item(part_number=f"b{prefix}-{number}") for number in range(count)]
    return [row.part_number for row in Item.objects.bulk_create(rows, batch_size=5000)]


def sessions(workstation_ids: list[str], part_numbers: list[str]) -> None:
    """Give each workstation a session, on its item; on an object of it where there are fewer items."""
    owners = Workstation.objects.in_bulk(workstation_ids)
    found = Item.objects.in_bulk(part_numbers, field_name="part_number")
    rows = []
    for number, pk in enumerate(workstation_ids):
        part = part_numbers[number % len(part_numbers)]
        rows.append(
            EditSession(
                item=found[part],
                workstation_id=pk,
                user_id=owners[uuid.UUID(pk)].user_id,
                context_level="sketch",
                object_id="" if len(part_numbers) >= len(workstation_ids) else f"Sketch{number}",
            )
        )
    EditSession.objects.bulk_create(rows, batch_size=5000)


CALLS: dict[str, Callable[..., Any]] = {
    call.__name__: call for call in (parameters, users, workstations, items, sessions)
}


def main() -> None:
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        print(json.dumps(CALLS[name](*arguments)), flush=True)


if __name__ == "__main__":
    main()
