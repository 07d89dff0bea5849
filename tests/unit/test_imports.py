"""Imports go one way, without circles, and the client knows the server by HTTP only."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SERVER = {"silo", "board_app", "sessions_app", "events_app"}
# What each may not import.
FORBIDDEN = {
    "events_app": {"board_app", "sessions_app", "silo", "silo_client"},
    "sessions_app": {"board_app", "silo", "silo_client"},
    "board_app": {"silo", "silo_client"},
    "silo": {"silo_client"},
    "client/src/silo_client": {*SERVER, "django"},
    "embedded_postgres/src/django_embedded_postgres": {*SERVER, "silo_client"},
    "freecad/freecad/silo_sessions": {*SERVER, "django"},
}


def imported(file):
    """The top packages that a file imports."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_imports_go_one_way(folder):
    files = list((ROOT / folder).rglob("*.py"))
    assert len(files) >= 5
    for file in files:
        assert not FORBIDDEN[folder].intersection(imported(file)), file


# No package has a circle of imports.
WITHOUT_CIRCLES = [
    "silo",
    "board_app",
    "sessions_app",
    "events_app",
    "embedded_postgres/src/django_embedded_postgres",
    "client/src/silo_client",
    "freecad/freecad/silo_sessions",
]


def modules_of(folder):
    """The modules of a package by their dotted names, with their files."""
    files = (file for file in folder.rglob("*.py") if "migrations" not in file.parts)
    names = {file: (folder.name, *file.relative_to(folder).with_suffix("").parts) for file in files}
    return {".".join(name).removesuffix(".__init__"): file for file, name in names.items()}


def imports_of(name, file, modules):
    """The modules that a file imports anywhere: at its top, inside functions and under TYPE_CHECKING.

    `from package import module` is an import of that module, not of its package.
    """
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join(filter(None, [*(above if node.level else ()), node.module]))
            found = [f"{base}.{alias.name}" for alias in node.names]
            found = [one if one in modules else base for one in found]
        else:
            continue
        yield from (one for one in found if one in modules and one != name)


def circle_of(folder):
    """A circle of imports among the modules of a package, or None."""
    modules = modules_of(folder)
    graph = {name: set(imports_of(name, file, modules)) for name, file in modules.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return None


@pytest.mark.parametrize("folder", WITHOUT_CIRCLES)
def test_no_package_has_a_circle_of_imports(folder):
    assert circle_of(ROOT / folder) is None


@pytest.mark.parametrize(
    "back",
    [
        "from package.one import name\n",
        "from package import one\n",
        "import package.one\n",
        "from .one import name\n",
        "from . import one\n",
        "def later():\n    from package import one\n",
        "if TYPE_CHECKING:\n    from package.one import name\n",
    ],
)
def test_a_circle_is_found(back, tmp_path):
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "one.py").write_text("from package.two import other\n")
    (package / "two.py").write_text("")
    assert circle_of(package) is None
    (package / "two.py").write_text(back)
    assert circle_of(package)


# The add-on's files that know FreeCAD; its logic is tested without.
WITH_FREECAD = {
    *("application", "commands", "dialogs", "init_gui", "observers", "panel"),
    *("preferences", "turns", "windows"),
}


def test_logic_of_the_add_on_imports_no_freecad():
    files = (ROOT / "freecad/freecad/silo_sessions").glob("*.py")
    knowing = {
        file.stem
        for file in files
        if {"FreeCAD", "FreeCADGui", "PySide"}.intersection(imported(file))
    }
    assert knowing == WITH_FREECAD


# The files of the client that run in its helper, and those that run in the program too, may import only these.
IN_THE_HELPER = {"helper", "common", "network", "data", "errors", "version"}
CLIENT = ROOT / "client/src/silo_client"


@pytest.mark.parametrize("folder", ["helper", "common", "network"])
def test_helper_imports_nothing_of_the_program(folder):
    for file in (CLIENT / folder).glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("silo_client"):
                assert IN_THE_HELPER.intersection(node.module.split(".")[1:2]), file
