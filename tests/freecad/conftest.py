"""A server on a PostgreSQL of its own, the add-on as its zip has it, and FreeCADs of two users."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.freecad.freecads import USER_CFG, FreeCad, Screen
from tests.world import World, started
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


class Parts(World):
    """One server at one address, its database, and the users."""

    def holders(self, number: str = NUMBERS[0]) -> list[tuple[str, str]]:
        """Who holds which objects of a part."""
        held = self.client("cy").held(number)
        return sorted((one["user"], one["object_id"]) for one in held)


@pytest.fixture(scope="session")
def world() -> Iterator[Parts]:
    with started(Parts, USERS) as made:
        yield made


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
def freecads() -> Iterator[list[FreeCad]]:
    """All that were started; they end with the tests."""
    made: list[FreeCad] = []
    yield made
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def start(
    world: Parts,
    screen: Screen,
    addon: Path,
    freecads: list[FreeCad],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., FreeCad]:
    """Start a FreeCAD of a user, who is logged in unless told otherwise."""
    homes: dict[str, Path] = {}

    def begin(name: str, *, logged_in: bool = True) -> FreeCad:
        if name not in homes:
            home = homes[name] = tmp_path_factory.mktemp(name)
            (home / ".config/FreeCAD").mkdir(parents=True)
            (home / ".config/FreeCAD/user.cfg").write_text(USER_CFG)
            shutil.copytree(addon, home / ".local/share/FreeCAD/Mod" / addon.name)
        env = {"SILO_URL": world.url, "SILO_TOKEN": world.token(name)} if logged_in else {}
        made = FreeCad(homes[name], screen.display, **env)
        freecads.append(made)
        if logged_in:
            made.connected()
        return made

    return begin


class Users:
    """The FreeCADs of ada and bob, which are started once, and again after their end."""

    def __init__(self, start: Callable[..., FreeCad]) -> None:
        self._start = start
        self._running: dict[str, FreeCad] = {}

    def of(self, name: str) -> FreeCad:
        """Return a user's FreeCAD, in which nothing is open."""
        running = self._running.get(name)
        if running is None or not running.running:
            running = self._running[name] = self._start(name)
        running.takes_time()
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
def nothing_held(world: Parts, freecads: list[FreeCad]) -> Iterator[None]:
    """Nobody edits, holds or waits for anything after a test, nor asks for it again once a server comes back."""
    yield
    for one in freecads:
        if one.running:
            one.closes_all()
    world.end_all()
