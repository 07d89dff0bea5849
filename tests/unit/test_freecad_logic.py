"""The FreeCAD add-on without FreeCAD: locks, cones, part numbers, files, the worker."""

import threading
import time
from types import SimpleNamespace

import pytest

from silo_client import ServerUnavailableError
from silo_sessions import parts, undo
from silo_sessions.cone import cone_of
from silo_sessions.files import Files
from silo_sessions.locks import lock_of
from silo_sessions.worker import Outcome, Worker
from tests.unit.freecad_fakes import (
    Document,
)
from tests.waiting import eventually


@pytest.fixture
def part():
    """Two bodies in an App::Part, a spreadsheet whose value the second one uses, and a folder."""
    made = Document()
    sheet = made.add("Spreadsheet::Sheet", "Spreadsheet")
    for number in ("", "001"):
        sketch = made.add("Sketcher::SketchObject", f"Sketch{number}", *([sheet] if number else []))
        pad = made.add("PartDesign::Pad", f"Pad{number}", sketch)
        other = made.add("PartDesign::Pocket", f"Pocket{number}", pad)
        made.add("PartDesign::Body", f"Body{number}", group=[sketch, pad, other], tip=other)
    bodies = [made.objects["Body"], made.objects["Body001"]]
    made.add("App::Part", "Part", group=bodies)
    made.add("App::DocumentObjectGroup", "Group", group=[sheet])
    return made.objects


# -- cones --


def test_a_cone_follows_features_to_the_body_but_not_into_what_only_groups(part):
    assert cone_of(part["Sketch"]) == ("Body", "Pad", "Pocket", "Sketch")


def test_the_cone_of_a_body_has_all_its_features(part):
    assert cone_of(part["Body"]) == ("Body", "Pad", "Pocket", "Sketch")


def test_edits_of_two_bodies_do_not_meet_but_a_spreadsheet_meets_its_users(part):
    assert not set(cone_of(part["Sketch"])) & set(cone_of(part["Sketch001"]))
    assert set(cone_of(part["Spreadsheet"])) & set(cone_of(part["Sketch001"]))
    assert "Group" not in cone_of(part["Spreadsheet"])


def test_a_feature_behind_which_others_follow_is_no_tip(part):
    loose = part["Body"].Document.add("PartDesign::Pad", "Loose")
    part["Body"].Group.append(loose)
    loose.InList.append(part["Body"])
    assert cone_of(loose) == ("Loose",)


def test_a_container_that_names_an_object_in_an_expression_uses_it(part):
    part["Group"].ExpressionEngine = [("Label", "Spreadsheet.width")]
    assert "Group" in cone_of(part["Spreadsheet"])


def test_objects_of_other_documents_are_other_parts(part):
    elsewhere = Document("Other").add("App::Link", "Link", part["Body"])
    assert elsewhere in part["Body"].InList
    assert "Link" not in cone_of(part["Body"])


def test_circles_end(part):
    part["Sketch"].InList.append(part["Pad"])
    part["Pad"].InList.append(part["Sketch"])
    assert "Pocket" in cone_of(part["Sketch"])


def test_a_joint_moves_its_assembly():
    made = Document()
    box = made.add("Part::Box", "Box")
    joint = made.add("App::FeaturePython", "Joint", box)
    joints = made.add("Assembly::JointGroup", "Joints", group=[joint])
    made.add("Assembly::AssemblyObject", "Assembly", group=[box, joints])
    assert cone_of(box) == ("Assembly", "Box", "Joint", "Joints")
    level, locked = lock_of(joint)
    assert (level, locked.Name) == ("assembly", "Assembly")


# -- locks --


@pytest.mark.parametrize(
    ("edited", "level", "locked"),
    [
        ("Sketch", "sketch", "Sketch"),
        ("Pad", "partdesign", "Body"),
        ("Body001", "partdesign", "Body001"),
        ("Spreadsheet", "partdesign", "Spreadsheet"),
        ("Part", "assembly", "Part"),
    ],
)
def test_the_lock_of_an_object(part, edited, level, locked):
    found = lock_of(part[edited])
    assert (found[0], found[1].Name) == (level, locked)


def test_a_link_in_a_part_is_the_parts_and_a_loose_one_its_own():
    made = Document()
    inside, loose = made.add("App::Link", "Link"), made.add("App::Link", "Link001")
    made.add("App::Part", "Part", group=[inside])
    assert lock_of(inside)[1].Name == "Part"
    assert lock_of(loose)[1].Name == "Link001"
    assert lock_of(loose)[0] == "assembly"


# -- part numbers --


def test_a_part_number_counts_in_its_file_wherever_that_lies():
    made = Document()
    assert parts.part_number_of(made) == ""
    parts.set_part_number(made, "FC-0001")
    made.FileName = "C:\\other\\FC-0001.FCStd"
    assert parts.part_number_of(made) == "FC-0001"
    assert parts.copied_from(made) == ("", "")


def test_a_copy_has_no_part_number_until_it_is_given_one():
    made = Document()
    parts.set_part_number(made, "FC-0001")
    made.FileName = "/parts/copy.FCStd"
    assert parts.part_number_of(made) == ""
    assert parts.copied_from(made) == ("FC-0001", "FC-0001.FCStd")
    parts.set_part_number(made, "FC-0002")
    assert parts.part_number_of(made) == "FC-0002"


def test_a_number_that_was_given_before_the_first_save_gets_its_file_then():
    made = Document(file="")
    made.Meta = {"author": "ada"}
    parts.set_part_number(made, "FC-0001")
    assert parts.part_number_of(made) == "FC-0001"
    parts.about_to_save(made, "/parts/new.FCStd")
    made.FileName = "/parts/copy.FCStd"
    assert parts.part_number_of(made) == ""
    parts.set_part_number(made, "")
    assert made.Meta == {"author": "ada"}


# -- undoing --


@pytest.mark.parametrize(
    ("names", "before", "last"),
    [
        (["Edit", "Pad"], ["Pad"], True),
        (["More", "Edit", "Pad"], ["Pad"], False),
        (["Pad"], ["Pad"], False),
        (["Pad"], None, False),
        ([], [], False),
        (["Edit"], [], True),
        (["New", "c", "b"], ["c", "b", "a"], True),
        (["Other", "New", "c"], ["c", "b", "a"], False),
    ],
)
def test_only_the_last_change_is_undone(names, before, last):
    assert undo.is_last(SimpleNamespace(UndoNames=names), before) is last


@pytest.mark.parametrize(
    ("transacting", "pending", "before"),
    [(False, False, ["b", "a"]), (False, True, ["a"]), (True, False, None)],
)
def test_the_undo_list_before_a_change(transacting, pending, before):
    document = SimpleNamespace(
        UndoNames=["b", "a"], Transacting=transacting, HasPendingTransaction=pending
    )
    assert undo.before_change(document) == before


def test_a_file_that_others_have_written_is_newer_than_what_is_open(tmp_path):
    file = tmp_path / "FC-0001.FCStd"
    file.write_text("1")
    made, files = Document(file=str(file)), Files()
    files.opened(made)
    assert not files.written_by_others(made)
    file.write_text("22")
    files.opened(made)
    assert files.written_by_others(made)
    files.in_step(made)
    assert not files.written_by_others(made)
    before = files.stamp(made)
    file.write_text("4444")
    files.read(made, before)
    assert files.written_by_others(made)
    file.unlink()
    assert not files.written_by_others(made)
    files.closed(made)
    file.write_text("333")
    assert not files.written_by_others(made)


# -- the worker --


def test_the_worker_answers_in_time_or_later_and_in_order():
    posted = []
    worker = Worker(posted.append)
    go_on = threading.Event()
    late = []
    begun = time.monotonic()
    assert worker.ask(lambda: go_on.wait(20) and 1, 0.05, late.append) is None
    assert time.monotonic() - begun < 5
    later = []
    worker.do(lambda: 2, later.append)
    go_on.set()
    eventually(lambda: len(posted) == 2, "both answers")
    for call in posted:
        call()
    assert late == [Outcome(1)]
    assert later == [Outcome(2)]
    assert worker.ask(lambda: 3, 20, late.append) == Outcome(3)
    worker.close(20)


def test_the_worker_hands_on_errors_and_goes_on():
    worker = Worker(lambda call: call())

    def fail():
        raise ServerUnavailableError("away")

    outcome = worker.ask(fail, 20, lambda _: None)
    assert isinstance(outcome.error, ServerUnavailableError)
    worker.do(fail)
    assert worker.ask(lambda: 1, 20, lambda _: None) == Outcome(1)
    worker.close(20)
