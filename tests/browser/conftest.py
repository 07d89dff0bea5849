"""A server on a PostgreSQL of its own, and real browsers that look at its board: Debian's Chromium, by Playwright."""

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.faults.services import ServeAt
from tests.processes.service import Client, SseClient
from tests.world import World, started

CHROMIUM = os.environ.get("SILO_TEST_CHROMIUM") or shutil.which("chromium") or "chromium"
# It opens only what a test asks for.
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
PASSWORD = "correct horse"
# Streams stay open over an outage of some seconds.
PATIENT = {"SILO_HEARTBEAT_SECONDS": "15", "SILO_SERVER_DEAD_SECONDS": "4"}
USERS = """
from django.contrib.auth.models import Group, User
from sessions_app.models import Item
for name, first, last, role in (
    ("vi", "Vi", "Ewer", "viewer"),
    ("ada", "Ada", "Lovelace", "editor"),
    ("bob", "Bob", "Noyce", "editor"),
    ("root", "", "", "admin"),
):
    user = User.objects.create_user(name, password="correct horse", first_name=first, last_name=last)
    user.groups.add(Group.objects.get(name=role))
for number in range(1, 10):
    Item.objects.create(part_number=f"A01-000{number}")
"""
# Noted by every page, and looked at when its test ends.
NOTE_VIOLATIONS = """
window.violations = [];
addEventListener("securitypolicyviolation", (event) => {
  violations.push(`${event.violatedDirective} ${event.blockedURI}`);
});
"""


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """One server at one address, its database, and the users' clients."""
    with started(World, USERS, **PATIENT) as made:
        yield made


@pytest.fixture(scope="session")
def other(world: World) -> ServeAt:
    """Another server on the same database, by which something happens while the first one is stopped."""
    return world.serve()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def stack(world: World) -> Iterator[ExitStack]:
    try:
        with ExitStack() as opened:
            yield opened
    finally:
        world.end_all()


@pytest.fixture
def log_in(chromium: Browser, world: World, stack: ExitStack) -> Callable[..., Page]:
    """Log a user in, in a browser of its own; the page that it ends with has broken no rule."""

    def open_board(name: str, path: str = "/", base: str = "", **options: Any) -> Page:
        context = chromium.new_context(**options)
        stack.callback(context.close)
        context.add_init_script(NOTE_VIOLATIONS)
        page = context.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto((base or world.url) + path)
        page.get_by_label("Username").fill(name)
        page.get_by_label("Password", exact=False).fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_selector("#live[data-state=live]")

        def check() -> None:
            assert not errors
            assert page.evaluate("violations") == []

        stack.callback(check)
        return page

    return open_board


class Cad:
    """A CAD program as a process: a workstation with its stream."""

    def __init__(self, client: Client, name: str) -> None:
        self.client = client
        self.workstation_id = client.workstation(name)
        self.stream: SseClient = client.stream(workstation_id=self.workstation_id)

    def acquire(self, part_number: str, **body: Any) -> uuid.UUID:
        answer = self.client.acquire(part_number, self.workstation_id, **body)
        assert answer.status_code == 200, answer.text
        return uuid.UUID(answer.json()["session_id"])

    def stand(self, part_number: str, **body: Any) -> str:
        """Stand in line; return the id of the place."""
        path = f"/api/items/{part_number}/edit-session-requests"
        given = {"workstation_id": str(self.workstation_id), "context_level": "sketch", **body}
        answer = self.client.call("POST", path, given)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["request_id"])

    def leave(self, part_number: str, place: str) -> None:
        path = f"/api/items/{part_number}/edit-session-requests/{place}"
        assert self.client.call("DELETE", path).status_code == 204


@pytest.fixture
def cad(world: World, stack: ExitStack) -> Callable[..., Cad]:
    """Start a user's CAD program."""

    def start(name: str, server: ServeAt | None = None) -> Cad:
        made = Cad(world.client(name, server), f"cad-{name}")
        stack.callback(made.stream.close)
        return made

    return start
