"""`silo request`, `handoff`, `line` and `release`: whose turn it is, by hand."""

import pytest

from tests.factories import make_item


def test_asks_the_holder(ada, bob, part, gate):
    process = ada.edit(part, gate.command())
    done = bob.run("request", part, "-m", "for\nthe review")
    assert done.returncode == 0, done.stderr
    assert "Asked ada on" in done.stderr
    assert process.line("bob asks for").endswith("“for the review”")
    process.line(f"silo handoff '{part}' --level assembly")


def test_request_of_a_free_or_own_session_is_refused(ada, bob, part, gate):
    free = bob.run("request", part, "-m", "please")
    assert free.returncode == 5
    assert "Nobody is editing" in free.stderr
    ada.edit(part, gate.command())
    own = ada.run("request", part, "-m", "please")
    assert own.returncode == 1
    assert "yourself" in own.stderr


def test_hands_over_to_the_first_in_line(ada, bob, part, gate):
    held = ada.edit(part, gate.command())
    waiting = bob.start("edit", part, "--wait")
    waiting.line("In line for")
    [row] = ada.run("line", part).stdout.splitlines()
    assert row.split("\t")[:4] == ["1", "assembly", "", "bob"]
    assert ada.json("line", part)["requests"][0]["position"] == 1
    done = ada.run("handoff", part)
    assert done.returncode == 0, done.stderr
    waiting.line("until Ctrl-C")
    held.line("LOST")


def test_hands_over_to_the_named_target(ada, bob, part, gate, cli_user_of):
    ada.edit(part, gate.command())
    bob.start("edit", part, "--wait").line("place 1")
    eve = cli_user_of(ada.client.server, "eve").start("edit", part, "--wait")
    eve.line("place 2")
    assert ada.run("handoff", part, "--to", "nobody").returncode == 5
    assert ada.run("handoff", part, "--to", "eve").returncode == 0
    eve.line("until Ctrl-C")


def test_nobody_in_line(ada, part, gate):
    ada.edit(part, gate.command())
    done = ada.run("handoff", part)
    assert done.returncode == 5
    assert "Nobody stands in line" in done.stderr


def test_releases_the_matching_session(ada, bob, part, gate):
    other = make_item("A01-0002").part_number
    ada.edit(part, gate.command(), "--object", "one")
    ada.edit(part, gate.command(), "--object", "two")
    ada.edit(other, gate.command())
    several = ada.run("release", part)
    assert several.returncode == 2
    assert "one: ada on" in several.stderr
    assert "two: ada on" in several.stderr
    assert len(ada.client.held(part)) == 2
    assert ada.run("release", part, "--object", "one").returncode == 0
    assert [held["object_id"] for held in ada.client.held(part)] == ["two"]
    [left] = ada.client.held(part)
    assert bob.run("release", part).returncode == 5
    assert ada.run("release", "--session", left["session_id"][:13]).returncode == 0
    assert ada.run("release", "--all").returncode == 0
    assert ada.client.held(other) == []
    assert ada.run("release").returncode == 5


@pytest.mark.parametrize("named", ["", " ", "a"])
def test_one_session_and_all_of_them_do_not_go_together(ada, part, gate, named):
    ada.edit(part, gate.command())
    more = ("--force", "--reason", "mistaken")
    for options in ((), more):
        assert ada.run("release", "--all", "--session", named, *options).returncode == 2
    if not named.strip():
        assert ada.run("release", "--session", named, *more).returncode == 2
    assert len(ada.client.held(part)) == 1


def test_only_admins_release_by_force(ada, bob, part, gate):
    ada.edit(part, gate.command())
    assert bob.run("release", part, "--force").returncode == 2
    refused = bob.run("release", part, "--force", "--reason", "mine")
    assert refused.returncode == 4
    assert len(ada.client.held(part)) == 1
