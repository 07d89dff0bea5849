"""CONTRIBUTING.md: the files, folders, functions and targets that it names exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
PATHS = sorted(set(re.findall(r"`([\w.-]+/[\w./-]*|[\w-]+\.(?:txt|md))`", TEXT)))
# A path, and the functions named behind it.
FUNCTIONS = re.findall(r"`([\w./]+\.py)`, `(\w+)`(?: and `(\w+)`)?", TEXT)


def found(name):
    return any(
        (folder / name).exists() for folder in (ROOT, ROOT / "client/src", ROOT / "sessions_app")
    )


@pytest.mark.parametrize("name", PATHS)
def test_every_named_file_exists(name):
    assert found(name)


@pytest.mark.parametrize(("file", "functions"), [(file, names) for file, *names in FUNCTIONS])
def test_the_functions_are_there(file, functions):
    source = (ROOT / file).read_text()
    for name in filter(None, functions):
        assert re.search(rf"^\s*def {name}\(", source, re.MULTILINE)


def test_every_target_is_in_the_makefile():
    targets = set(re.findall(r"`make ([\w-]+)`", TEXT))
    assert "lint" in targets
    makefile = (ROOT / "Makefile").read_text()
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


def test_every_folder_of_code_has_its_row():
    rows = set(re.findall(r"^\| `(\w+)/?[\w/]*` \|", TEXT, re.MULTILINE))
    folders = {file.relative_to(ROOT).parts[0] for file in ROOT.glob("[!.]*/**/*.py")}
    assert folders - {"var", "site"} <= rows
