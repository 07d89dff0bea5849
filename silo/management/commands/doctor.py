"""`manage.py doctor`: looks for what is wrong with this installation, and says what to do. It changes nothing."""

import json
import os
import sys
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from sessions_app.models.api_token import ApiToken, hashed
from silo.doctor import configuration, database, findings, openid, processes, public_url
from silo.doctor.findings import Finding, Level


class Command(BaseCommand):
    help = (
        "Look for what is wrong with this installation, and say what to do. Nothing is changed. Exit code 1: there is a"
        " problem. With SILO_TOKEN, any user's token, --url also looks at event streams."
    )
    # They are among what it looks at.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--url", type=_service, help="look at the way through this public URL, too"
        )
        parser.add_argument("--json", action="store_true", help="print JSON, for programs")

    def handle(
        self, *args: Any, url: public_url.Service | None, json: bool, **options: Any
    ) -> None:
        found = [*configuration.findings(), *openid.findings(), *database.findings()]
        usable = database.is_usable(found)
        if usable:
            found += processes.findings()
        if url:
            found += _of_url(url, usable)
        if json:
            self._print_json(found)
        else:
            self._print(found)
        sys.exit(int(any(one.level is Level.PROBLEM for one in found)))

    def _print(self, found: list[Finding]) -> None:
        values = list(configuration.values())
        keys, shown = (max(len(one[column]) for one in values) for column in (0, 1))
        self.stdout.write("Settings:")
        for one in values:
            line = f"  {one.key:<{keys}}  {one.shown:<{min(shown, 40)}}  {one.source}"
            self.stdout.write(line.rstrip())
        self.stdout.write("")
        for line in findings.lines(found):
            self.stdout.write(line)
        self.stdout.write("")
        self.stdout.write(findings.summary(found))

    def _print_json(self, found: list[Finding]) -> None:
        answer = {
            "settings": [one._asdict() for one in configuration.values()],
            "findings": [one.as_json() for one in found],
        }
        self.stdout.write(json.dumps(answer, indent=2))


def _service(text: str) -> public_url.Service:
    try:
        return public_url.Service(text, os.environ.get("SILO_TOKEN", "").strip())
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error


def _of_url(service: public_url.Service, usable: bool) -> list[Finding]:
    """Return what is found on the way through a URL."""
    good = bool(
        usable
        and service.token
        and ApiToken.objects.valid().filter(digest=hashed(service.token)).exists()
    )
    found = list(public_url.findings(service, token_is_good=good, https=settings.SERVER.https))
    if service.token and usable and not good:
        found.append(
            findings.problem(
                "token",
                "The database does not know the token in SILO_TOKEN.",
                "Make another one: manage.py createtoken.",
            )
        )
    return found
