"""A server on a PostgreSQL of its own, the add-on as its zip has it, and FreeCADs of two users."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.own_postgres import OwnPostgres
from tests.faults.services import ServeAt
from tests.freecad.freecads import USER_CFG, FreeCad, Screen
from tests.processes import warm
from tests.processes.service import Client
from tools import freecad_addon

NUMBERS = ("FC-0001", "FC-0002")
USERS = f"""
from django.contrib.auth.models import Group, User
from sessions_app.models import Item
for name, first, last in (("ada", "Ada", "Lovelace"), ("bob", "Bob", "Noyce"), ("cy", "", ""), ("dora", "", "")):
    user = User.objects.create_user(name, first_name=first, last_name=last)
    user.groups.add(Group.objects.get(name="editor"))
User.objects.create_user("root").groups.add(Group.objects.get(name="admin"))
for number in {NUMBERS!r}:
    Item.objects.create(part_number=number)
"""
# A part with two bodies that have nothing in common, and a spreadsheet.
MAKE_PART = """
import Part, Sketcher
document = App.newDocument("Plate")
for number in ("", "001"):
    body = document.addObject("PartDesign::Body", "Body" + number)
    sketch = body.newObject("Sketcher::SketchObject", "Sketch" + number)
    corners = [App.Vector(x, y, 0) for x, y in ((0, 0), (20, 0), (20, 10), (0, 10))]
    for at in range(4):
        sketch.addGeometry(Part.LineSegment(corners[at], corners[(at + 1) % 4]))
    pad = body.newObject("PartDesign::Pad", "Pad" + number)
    pad.Profile = sketch
    pad.Length = 5
document.addObject("Spreadsheet::Sheet", "Spreadsheet").set("A1", "7")
document.recompute()
document.saveAs({file!r})
silo().set_part_number(document, {number!r})
document.save()
App.closeDocument(document.Name)
"""
CLOSE_ALL = """
while Gui.editDocument() is not None:
    Gui.editDocument().resetEdit()
for window in QtGui.QApplication.topLevelWidgets():
    if isinstance(window, Question):
        window.close()
for name in list(App.listDocuments()):
    App.closeDocument(name)
silo().windows.forget_messages()
"""


class World:
    """One server at one address, its database, and the users."""

    def __init__(self, database: OwnPostgres) -> None:
        self.database = database
        self._tokens: dict[str, str] = {}
        self.server = self._serve(0)
        self.port = int(self.server.url.rpartition(":")[2])

    def _serve(self, port: int) -> ServeAt:
        return ServeAt("127.0.0.1", port, DATABASE_URL=self.database.url).ready()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start_again(self) -> None:
        """Start the server that was stopped, at its address."""
        self.server.close()
        self.server = self._serve(self.port)

    def token(self, name: str) -> str:
        if name not in self._tokens:
            role = "admin" if name == "root" else "editor"
            self._tokens[name] = self.database.manage("createtoken", name, "--role", role)
        return self._tokens[name]

    def client(self, name: str) -> Client:
        return Client(self.server, self.token(name))

    def holders(self, number: str = NUMBERS[0]) -> list[tuple[str, str]]:
        """Who holds which objects of a part."""
        held = self.client("cy").held(number)
        return sorted((one["user"], one["object_id"]) for one in held)

    def close(self) -> None:
        self.server.close()


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    with OwnPostgres() as database:
        command = (sys.executable, "-W", "error", "manage.py", "shell", "-v", "0", "-c", USERS)
        done = warm.run(command, os.environ | warm.UNBUFFERED | {"DATABASE_URL": database.url})
        assert not done.returncode, done.stderr
        made = World(database)
        yield made
        made.close()


@pytest.fixture(scope="session")
def screen() -> Iterator[Screen]:
    made = Screen()
    yield made
    made.close()


@pytest.fixture(scope="session")
def addon(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The add-on's folder, unpacked from its zip."""
    folder = tmp_path_factory.mktemp("addon")
    zipped = freecad_addon.make(folder / "made")
    shutil.unpack_archive(zipped, folder)
    return folder / freecad_addon.NAME


@pytest.fixture(scope="session")
def start(
    world: World, screen: Screen, addon: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., FreeCad]]:
    """Start a FreeCAD of a user, who is logged in unless told otherwise."""
    started: list[FreeCad] = []
    homes: dict[str, Path] = {}

    def begin(name: str, *, logged_in: bool = True) -> FreeCad:
        if name not in homes:
            home = homes[name] = tmp_path_factory.mktemp(name)
            (home / ".config/FreeCAD").mkdir(parents=True)
            (home / ".config/FreeCAD/user.cfg").write_text(USER_CFG)
            shutil.copytree(addon, home / ".local/share/FreeCAD/Mod" / addon.name)
        env = {"SILO_URL": world.url, "SILO_TOKEN": world.token(name)} if logged_in else {}
        made = FreeCad(homes[name], screen.display, **env)
        started.append(made)
        if logged_in:
            made.connected()
        return made

    yield begin
    for one in started:
        one.close()


class Users:
    """The FreeCADs of ada and bob, which are started once, and again after their end."""

    def __init__(self, start: Callable[..., FreeCad]) -> None:
        self._start = start
        self._running: dict[str, FreeCad] = {}

    def of(self, name: str) -> FreeCad:
        """Return a user's FreeCAD, with nothing open in it."""
        running = self._running.get(name)
        if running is None or not running.running:
            running = self._running[name] = self._start(name)
        running.do(CLOSE_ALL)
        running.connected()
        return running


@pytest.fixture(scope="session")
def users(start: Callable[..., FreeCad]) -> Users:
    return Users(start)


@pytest.fixture
def ada(users: Users) -> FreeCad:
    return users.of("ada")


@pytest.fixture
def bob(users: Users) -> FreeCad:
    return users.of("bob")


@pytest.fixture(scope="session")
def made_part(users: Users, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the part FC-0001."""
    file = tmp_path_factory.mktemp("parts") / "FC-0001.FCStd"
    users.of("ada").do(MAKE_PART.format(file=str(file), number=NUMBERS[0]))
    return file


@pytest.fixture
def part(made_part: Path, tmp_path: Path) -> Callable[[FreeCad], Path]:
    """Open a copy of the part in a user's FreeCAD; return its file."""

    def open_copy(user: FreeCad) -> Path:
        folder = tmp_path / user.folder.name
        folder.mkdir()
        file = Path(shutil.copy(made_part, folder))
        user.opens(file)
        return file

    return open_copy


@pytest.fixture(autouse=True)
def nothing_held(world: World) -> Iterator[Any]:
    """Nobody holds anything, or waits, after a test."""
    yield
    for table in ("handoffrequest", "placeinline", "editsession"):
        world.database.query(f"DELETE FROM sessions_app_{table}")
