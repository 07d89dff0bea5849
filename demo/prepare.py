"""Parts, accounts and tokens of the demonstration, in the database of `manage.py shell`, which calls `main`.

May be run again at any time: parts and record stay; workstations and tokens of a former demonstration are deleted.
The folder of the database gets `shop.json` (the tokens, for `python -m demo`) and `welcome` (what is printed once the
server listens).
"""

import csv
import io
import json
import os
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction

from demo.bill import bill_of_materials
from demo.people import person
from demo.surroundings import MOST_ENGINEERS, engineers, url
from sessions_app.item_file import Loading
from sessions_app.management.commands.createdemo import keep_admin
from sessions_app.models import ApiToken, Workstation
from sessions_app.operations import workstations
from sessions_app.part_list import PartList
from sessions_app.roles import Role

COLUMNS = ("part_number", "description", "item_type")
# The account by whose token the shop reads what it prints.
WATCHER = "demo"

WELCOME = """
Silo Sessions: {engineers} simulated engineers edit the {parts} parts of a belt conveyor. Look at who edits what, live:

    {url}/   (log in {login})

* Several want the same part: one edits it, the others stand in line, and each gets it in turn.
* Somebody asks for a part, and its holder hands it over.
* A workstation crashes: its part is free at once, and the first in line has it.
* A workstation loses its network: its part is free as soon as the server is sure of that, {dead_peer} s here.

The lines below tell of it. ENGINEERS=, SEED= and PORT= play it otherwise. Ctrl-C ends everything.

"""


def main() -> None:
    """Prepare the database, and write both files."""
    folder = Path(settings.VAR_DIR)
    people = [person(number) for number in range(engineers())]
    forget_former()
    with transaction.atomic():
        load_parts()
        tokens = {one.user: make_editor(one.user, one.name) for one in people}
        watcher = make_editor(WATCHER, "")
        login = keep_admin(folder / "admin-password")
    write(folder / "shop.json", json.dumps({"engineers": tokens, "watcher": watcher}))
    write(folder / "welcome", welcome(login))


def forget_former() -> None:
    """End what a former demonstration has left, which was ended together with its server; the record keeps it."""
    names = [person(number).user for number in range(MOST_ENGINEERS)]
    former = Workstation.objects.filter(user__username__in=names)
    workstations.delete(list(former.values_list("pk", flat=True)))


def load_parts() -> None:
    """Load the bill of materials."""
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(COLUMNS)
    rows.writerows((part.number, part.description, part.kind) for part in bill_of_materials())
    Loading(PartList(io.BytesIO(text.getvalue().encode()))).run()


def make_editor(username: str, name: str) -> str:
    """See that there is an editor of this name, without a password; return a new token, the only valid one."""
    first, _, last = name.partition(" ")
    user, made = User.objects.get_or_create(
        username=username, defaults={"first_name": first, "last_name": last}
    )
    if made:
        user.set_unusable_password()
        user.save()
    Role.give(user, Role.EDITOR)
    ApiToken.objects.filter(user=user).delete()
    return ApiToken.objects.issue(user, "make demo", Role.EDITOR.group, None)[1]


def welcome(login: str) -> str:
    """Return what is printed once the server listens."""
    return WELCOME.format(
        engineers=engineers(),
        parts=len(bill_of_materials()),
        url=url(),
        login=login,
        dead_peer=f"{settings.EVENTS_DEAD_PEER_SECONDS:g}",
    )


def write(file: Path, content: str) -> None:
    """Write a file for nobody else's eyes."""
    file.unlink(missing_ok=True)
    opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(opened, "w", encoding="utf-8") as text:
        text.write(content)
