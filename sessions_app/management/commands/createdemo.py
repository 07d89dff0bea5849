"""`manage.py createdemo`: example parts, a user and an admin to try the service with, and how to watch it work.

May be run again at any time: what is there stays.
"""

import os
import secrets
import shlex
import textwrap
from argparse import ArgumentParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand
from django.db import transaction

from sessions_app import accounts
from sessions_app.authentication import principal_of_token
from sessions_app.item_file import Loading
from sessions_app.models import ApiToken, Item
from sessions_app.part_list import PartList
from sessions_app.roles import Role

EXAMPLES = Path(settings.BASE_DIR) / "examples" / "parts.csv"
# Of the examples; the READMEs speak of it.
PART = "A01-0002"
USER = "demo"
ADMIN = "admin"

WATCH = """\
Who edits what, live:  {url}/
Admin site:            {url}/admin/
API:                   {url}/api/docs
Log in {login}.

Watch it work. In one terminal, open a stream on a part:

{watch}

In another one, register a workstation, open its stream, and acquire an edit session on that part:

{acquire}

There, kill that stream: the first terminal prints edit.session_released, "disconnected".

{kill}
"""


class Command(BaseCommand):
    help = "Make example parts, a user and an admin to try the service with, and print how."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--port",
            default=os.environ.get("PORT") or "8000",
            help="the port in what is printed (default: PORT, else 8000)",
        )
        parser.add_argument(
            "--to",
            type=Path,
            metavar="FILE",
            help="write it there instead, for whoever prints it once the server listens",
        )

    def handle(
        self, *args: Any, port: str, to: Path | None, verbosity: int, **options: Any
    ) -> None:
        var = Path(settings.VAR_DIR)
        with transaction.atomic():
            load_examples()
            token_file = keep_token(var / "demo-token")
            login = keep_admin(var / "admin-password")
        text = watching(f"http://127.0.0.1:{port}{settings.EVENTS_BASE_PATH}", token_file, login)
        if to is not None:
            _keep(to, text)  # it has a password in it
        elif verbosity:
            self.stdout.write(text)


def load_examples() -> None:
    """Load the example part list, where there are no items."""
    if not Item.objects.exists():
        with EXAMPLES.open("rb") as file:
            Loading(PartList(file)).run()


def keep_token(file: Path) -> Path:
    """See that the file holds a valid token of the demo user, an editor."""
    user = accounts.find(USER)
    if user is None:
        user = User(username=USER)
        user.set_unusable_password()
    user.is_active = True
    user.save()
    Role.give(user, Role.EDITOR)
    if not _is_token_of(user, _content(file)):
        _, token = ApiToken.objects.issue(user, USER, Role.EDITOR.group, None)
        _keep(file, token + "\n")
    return file


def _is_token_of(user: User, token: str) -> bool:
    principal = principal_of_token(token)
    return principal is not None and principal.user == user and principal.may(Role.EDITOR)


def keep_admin(file: Path) -> str:
    """See that there is an admin, and say how to log in."""
    admin = accounts.find(ADMIN)
    if admin is None and not User.objects.filter(is_superuser=True, is_active=True).exists():
        admin = _make_admin(file)
    password = _content(file)
    if admin is not None and admin.is_superuser and password and admin.check_password(password):
        return f"as {ADMIN} with the password {password} (kept in {_shown(file)})"
    return "as an account of yours (manage.py createsuperuser makes one)"


def _make_admin(file: Path) -> User:
    password = secrets.token_urlsafe(12)
    _keep(file, password + "\n")
    return User.objects.create_superuser(ADMIN, password=password)


def _content(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (FileNotFoundError, UnicodeDecodeError):
        return ""


def _keep(file: Path, content: str) -> None:
    """Write it whole, and for nobody else's eyes at any moment."""
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    file.parent.mkdir(parents=True, exist_ok=True)
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        opened.write(content)
    draft.replace(file)


def watching(url: str, token_file: Path, login: str) -> str:
    """The text that says how to watch it work: three lines to copy into a shell."""
    item = Item.objects.known([PART]).get(PART) or Item.objects.earliest("part_number")
    part = f"{url}/api/items/{quote(item.part_number, safe='')}"
    token = f"Authorization: Bearer $(cat {_shown(token_file)})"
    lines = {
        "watch": f'curl -sSN -H "{token}" {part}/events',
        "acquire": f'auth="{token}"; '
        """ws=$(curl -sS -H "$auth" -d '{"name": "demo", "fingerprint": "demo"}' """
        f'{url}/api/workstations | sed \'s/.*"id": *"\\([^"]*\\).*/\\1/\'); '
        f'curl -sSN -H "$auth" "{url}/api/events?workstation_id=$ws" & stream=$!; '
        f'curl -sS -H "$auth" -d "{{\\"workstation_id\\": \\"$ws\\", \\"context_level\\": \\"sketch\\"}}"'
        f" {part}/edit-sessions",
        "kill": "kill $stream",
    }
    indented = {name: textwrap.indent(line, "  ") for name, line in lines.items()}
    return WATCH.format(url=url, login=login, **indented)


def _shown(file: Path) -> str:
    """The file as it is named in a shell, wherever that stands."""
    return shlex.quote(str(file.absolute()))
