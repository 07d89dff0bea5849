"""The requirements: each pinned, and the server's among those that are tested."""

from pathlib import Path

ROOT = Path(__file__).parents[2]


def lines_of(name):
    """The requirements in a file, without comments, options and this repository's own packages."""
    lines = (line.partition("  #")[0] for line in (ROOT / name).read_text().splitlines())
    return {line for line in lines if line and not line.startswith(("#", "-"))}


def test_every_requirement_is_pinned():
    named = lines_of("requirements.txt") | lines_of("constraints.txt")
    assert len(named) > 20
    assert not [line for line in named if line.count("==") != 1]


def test_every_package_of_this_repository_is_installed():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    packages = {file.parent.name for file in ROOT.glob("*/pyproject.toml")}
    installed = {line[len("-e ./") :].partition("[")[0] for line in lines if line[:2] == "-e"}
    assert installed == packages


def test_a_server_needs_only_what_is_tested():
    assert lines_of("requirements-server.txt") < lines_of("requirements.txt")
