"""The folder that a plug-in ships: what belongs in it, and that no other folder is replaced by it."""

import re
import tomllib

import pytest

from tools import vendor_client


def names(lines):
    return {re.split(r"[^A-Za-z0-9_-]", line)[0].replace("_", "-").lower() for line in lines}


def test_its_packages_are_pinned_and_among_them_are_those_of_the_client():
    pins = [line for line in vendor_client.PINS.read_text().splitlines() if line[:1] != "#"]
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+==[0-9][0-9.]*", pin) for pin in pins)
    about = tomllib.loads((vendor_client.CLIENT / "pyproject.toml").read_text())["project"]
    assert names(about["dependencies"]) < names(pins)
    assert not names(about["optional-dependencies"]["cli"]) & names(pins)


@pytest.mark.parametrize("content", ["a file", "a folder"])
def test_something_else_in_its_place_is_left_alone(tmp_path, content, monkeypatch):
    monkeypatch.setattr(vendor_client, "_install", lambda made: pytest.fail("it was begun"))
    place = tmp_path / "vendor"
    kept = place if content == "a file" else place / "ours.py"
    kept.parent.mkdir(exist_ok=True)
    kept.write_text("mine")
    with pytest.raises(SystemExit, match="something else"):
        vendor_client.vendor(place)
    assert kept.read_text() == "mine"


def test_a_failure_leaves_the_folder_as_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(vendor_client, "PINS", tmp_path / "vendored.txt")
    (tmp_path / "vendored.txt").write_text("nonsense==\n")
    place = tmp_path / "add-on" / "vendor"
    place.mkdir(parents=True)
    (place / vendor_client.NOTE).write_text("before")
    with pytest.raises(SystemExit, match=r"vendored\.txt"):
        vendor_client.vendor(place)
    assert (place / vendor_client.NOTE).read_text() == "before"
    assert list(place.parent.iterdir()) == [place]
