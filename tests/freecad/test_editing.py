"""Real edits in real FreeCADs: entered, refused, left, held until saved; direct changes; part numbers."""

from pathlib import Path

import pytest

from tests.waiting import eventually

# A double-click on an object in the tree, as the mouse does it.
DOUBLE_CLICK = """
# FreeCAD 1.0 has the tree in a dock of its own.
docks = [Gui.getMainWindow().findChild(QtGui.QDockWidget, name) for name in ("Combo View", "Model")]
dock = next(one for one in docks if one is not None)
dock.show()
dock.raise_()
[tabs.setCurrentIndex(0) for tabs in dock.findChildren(QtGui.QTabWidget)[:1] if docks[0]]
trees = [one for one in Gui.getMainWindow().findChildren(QtGui.QTreeWidget)
         if one.metaObject().className() == "Gui::TreeWidget" and one.isVisible()]
trees[0].expandAll()
item = trees[0].findItems({label!r}, QtCore.Qt.MatchExactly | QtCore.Qt.MatchRecursive)[0]
trees[0].scrollToItem(item)
place = QtCore.QPointF(trees[0].visualItemRect(item).center())
for kind in (
    QtCore.QEvent.MouseButtonPress, QtCore.QEvent.MouseButtonRelease,
    QtCore.QEvent.MouseButtonDblClick, QtCore.QEvent.MouseButtonRelease,
):
    left = QtCore.Qt.LeftButton
    event = QtGui.QMouseEvent(kind, place, left, left, QtCore.Qt.NoModifier)
    QtGui.QApplication.sendEvent(trees[0].viewport(), event)
"""
DRAW = """
import Part
App.ActiveDocument.Sketch.addGeometry(Part.Circle(App.Vector(5, 5, 0), App.Vector(0, 0, 1), 1))
"""
# A change in the property editor: FreeCAD opens a transaction for it.
SET_LENGTH = """
App.setActiveTransaction("Edit Pad.Length")
App.ActiveDocument.Pad.Length = {length}
App.closeActiveTransaction()
App.ActiveDocument.recompute()
"""
RELABEL = """
App.ActiveDocument.openTransaction("Relabel")
App.ActiveDocument.Sketch001.Label = "Lid"
App.ActiveDocument.commitTransaction()
"""
DELETE = """
App.ActiveDocument.openTransaction("Delete")
App.ActiveDocument.removeObject("Pad001")
App.ActiveDocument.commitTransaction()
"""
LENGTH = "App.ActiveDocument.Pad.Length.Value"


def free(world):
    eventually(lambda: world.holders() == [], "everything is free")


@pytest.mark.parametrize("way", ["setEdit", "double-click"])
def test_an_edit_locks_and_another_one_is_refused(ada, bob, part, world, way):
    def enter(user):
        if way == "setEdit":
            user.enters("Sketch")
        else:
            user.do(DOUBLE_CLICK.format(label="Sketch"))

    part(ada)
    part(bob)
    enter(ada)
    assert ada.in_edit
    ada.shows("Sketch of FC-0001 · in edit")
    assert world.holders() == [("ada", "Sketch")]
    enter(bob)
    text = bob.asked("is editing")
    assert text.startswith("ada (Ada Lovelace) is editing Sketch of FC-0001 on ")
    assert not bob.in_edit
    bob.shows("ada (Ada Lovelace) edits Sketch of FC-0001")
    bob.answers("Only look")
    # Looking changes nothing, so the lock is free at once.
    ada.leaves()
    free(world)
    bob.shows_not("edits Sketch of FC-0001")
    enter(bob)
    assert world.holders() == [("bob", "Sketch")]


@pytest.mark.parametrize("end", ["save", "close"])
def test_a_change_is_held_until_it_is_saved_or_closed(ada, part, world, end):
    part(ada)
    ada.enters("Sketch")
    ada.do(DRAW)
    ada.shows("in edit, changed")
    ada.leaves()
    ada.shows("changed, held until saved")
    assert world.holders() == [("ada", "Sketch")]
    close = "App.closeDocument(App.ActiveDocument.Name)"
    ada.do("App.ActiveDocument.save()" if end == "save" else close)
    free(world)
    ada.shows_not("held until saved")


def test_a_feature_is_edited_with_its_body_and_soft_interference_is_named_on_both_sides(
    ada, bob, part, world
):
    part(ada)
    part(bob)
    assert ada.enters("Sketch")
    assert bob.enters("Pad")
    assert world.holders() == [("ada", "Sketch"), ("bob", "Body")]
    ada.shows("Sketch of FC-0001 · in edit · bob's edit may conflict")
    bob.shows("Body of FC-0001 · in edit · ada's edit may conflict")
    ada.shows("bob (Bob Noyce) edits Body")
    # The other body has nothing in common with these.
    bob.leaves()
    ada.shows_not("'s edit may conflict")
    assert bob.enters("Pad001")
    eventually(lambda: world.holders() == [("ada", "Sketch"), ("bob", "Body001")], "both")
    bob.shows("Body001 of FC-0001 · in edit")
    bob.shows_not("'s edit may conflict")


def test_a_refused_property_edit_is_offered_back(ada, bob, part, world):
    part(ada)
    part(bob)
    assert ada.enters("Pad")
    bob.do(SET_LENGTH.format(length=9))
    assert bob.value(LENGTH) == 9
    bob.asked("Your change is not protected")
    bob.answers("Undo my change")
    bob.until(f"{LENGTH} == 5")
    assert world.holders() == [("ada", "Body")]
    # Again, and not undone: it is not asked about a second time.
    bob.do(SET_LENGTH.format(length=8))
    bob.asked("Your change is not protected")
    bob.do(RELABEL)
    bob.answers("Undo my change")
    # That would undo the later one.
    bob.shows("There are later changes than that of Body of FC-0001: undo them yourself.")
    bob.do(SET_LENGTH.format(length=7))
    bob.settled()
    assert bob.questions == []
    assert bob.value(LENGTH) == 7


def test_direct_changes_lock_until_they_are_saved(ada, part, world):
    part(ada)
    ada.do("App.ActiveDocument.Spreadsheet.set('A1', '8')")
    ada.do(SET_LENGTH.format(length=6))
    eventually(lambda: world.holders() == [("ada", "Body"), ("ada", "Spreadsheet")], "both")
    ada.do("App.ActiveDocument.save()")
    free(world)
    ada.do("App.ActiveDocument.removeObject('Sketch001')")
    eventually(lambda: ("ada", "Sketch001") in world.holders(), "a deleted object")


def test_opening_recomputing_and_looking_lock_nothing(ada, part, world):
    part(ada)
    ada.do("[one.touch() for one in App.ActiveDocument.Objects]\nApp.ActiveDocument.recompute()")
    ada.do("Gui.ActiveDocument.getObject('Pad').Visibility = False")
    ada.do("Gui.Selection.addSelection(App.ActiveDocument.Pad)\nGui.SendMsgToActiveView('ViewFit')")
    ada.settled()
    assert world.holders() == []


def test_nothing_is_locked_without_a_part_number_and_a_copy_is_another_part(
    ada, part, world, tmp_path
):
    file = part(ada)
    ada.do(f"App.ActiveDocument.saveAs({str(tmp_path / 'copy.FCStd')!r})")
    ada.asked("Is it another part now?")
    assert ada.enters("Sketch")
    ada.leaves()
    ada.settled()
    assert world.holders() == []
    ada.answers("It is still FC-0001")
    ada.until("silo().part_number(App.ActiveDocument) == 'FC-0001'")
    assert ada.enters("Sketch")
    assert world.holders() == [("ada", "Sketch")]
    # A copy beside the document is no save of it.
    ada.do(DRAW)
    ada.leaves()
    ada.do(f"App.ActiveDocument.saveCopy({str(tmp_path / 'beside.FCStd')!r})")
    ada.settled()
    assert world.holders() == [("ada", "Sketch")]
    assert Path(file).exists()


def test_another_window_of_the_same_user_is_named_as_such(ada, start, part, world):
    part(ada)
    assert ada.enters("Sketch")
    streams = world.streams()
    second = start("ada")
    second.opens(Path(ada.value("App.ActiveDocument.FileName")))
    assert not second.enters("Sketch")
    second.asked("Your other FreeCAD window has Sketch of FC-0001")
    second.kill()
    eventually(lambda: world.streams() == streams, "its stream is gone")
    assert world.holders() == [("ada", "Sketch")]
    ada.shows("Sketch of FC-0001 · in edit")


# An assembly of FC-0002 that links the body of FC-0001. Opening it opens the part only as far as the link needs it.
MAKE_ASSEMBLY = """
part = App.ActiveDocument
assembly = App.newDocument("Assembly")
assembly.saveAs({file!r})
container = assembly.addObject("App::Part", "Assembly")
link = assembly.addObject("App::Link", "Link")
link.LinkedObject = part.Body
container.addObject(link)
assembly.recompute()
silo().set_part_number(assembly, "FC-0002")
assembly.save()
[App.closeDocument(name) for name in list(App.listDocuments())]
opened = App.openDocument({file!r})
App.setActiveDocument(opened.Name)
"""
# The same with the sketch itself, which a double-click on the link edits.
MAKE_LINK_TO_SKETCH = """
part = App.ActiveDocument
assembly = App.newDocument("Links")
assembly.saveAs({file!r})
link = assembly.addObject("App::Link", "Link")
link.LinkedObject = part.Sketch
assembly.recompute()
silo().set_part_number(assembly, "FC-0002")
"""
IN_CONTEXT = "Gui.getDocument(opened.Name).setEdit(opened.Assembly, 0, 'Link.Sketch.')"


def test_an_edit_in_an_assembly_locks_the_part_which_is_loaded_whole_first(ada, part, world):
    folder = part(ada).parent
    ada.do(MAKE_ASSEMBLY.format(file=str(folder / "assembly.FCStd")))
    partial = "[one.Partial for one in App.listDocuments().values()]"
    assert sorted(ada.value(partial)) == [False, True]
    ada.do(IN_CONTEXT)
    ada.shows("was loaded in part, for its links only. It is whole now: edit again.")
    assert not ada.in_edit
    assert ada.value(partial) == [False, False]
    ada.do(IN_CONTEXT)
    assert ada.in_edit
    ada.shows("Sketch of FC-0001 · in edit")
    ada.settled()
    assert world.holders() == [("ada", "Sketch")]
    assert world.holders("FC-0002") == []
    ada.leaves()
    free(world)
    # Moving what is in the assembly changes the assembly.
    ada.do("opened.Link.Placement.Base.x = 5")
    eventually(lambda: world.holders("FC-0002") == [("ada", "Assembly")], "the assembly")


MAKE_NEW_ASSEMBLY = """
Gui.activateWorkbench("AssemblyWorkbench")
document = App.newDocument("New")
assembly = document.addObject("Assembly::AssemblyObject", "Assembly")
joints = assembly.newObject("Assembly::JointGroup", "Joints")
box = assembly.newObject("Part::Box", "Box")
document.recompute()
silo().set_part_number(document, "FC-0002")
"""


def test_an_assembly_of_freecads_own_workbench_is_locked(ada, bob, world):
    if ada.value("int(App.Version()[0])") < 1:
        pytest.skip("FreeCAD has a workbench for assemblies since 1.0")
    ada.do(MAKE_NEW_ASSEMBLY)
    bob.do(MAKE_NEW_ASSEMBLY)
    assert ada.enters("Assembly")
    ada.shows("Assembly of FC-0002 · in edit")
    assert world.holders("FC-0002") == [("ada", "Assembly")]
    assert not bob.enters("Assembly")
    bob.asked("ada (Ada Lovelace) is editing Assembly of FC-0002")
    ada.leaves()
    eventually(lambda: world.holders("FC-0002") == [], "free")
    assert bob.enters("Assembly")


def test_a_link_to_a_sketch_locks_the_sketch_in_its_part(ada, part, world):
    folder = part(ada).parent
    ada.do(MAKE_LINK_TO_SKETCH.format(file=str(folder / "links.FCStd")))
    ada.do("Gui.getDocument(assembly.Name).setEdit(link)")
    assert ada.in_edit
    ada.shows("Sketch of FC-0001 · in edit")
    assert world.holders("FC-0001") == [("ada", "Sketch")]


def test_changes_of_other_objects_during_an_edit_are_locked_too(ada, bob, part, world):
    part(ada)
    part(bob)
    assert bob.enters("Pad001")
    assert ada.enters("Sketch")
    ada.do(DRAW)
    ada.do("App.ActiveDocument.Spreadsheet.set('A1', '9')")
    wanted = [("ada", "Sketch"), ("ada", "Spreadsheet"), ("bob", "Body001")]
    eventually(lambda: world.holders() == wanted, "the spreadsheet")
    ada.do("App.ActiveDocument.Pad001.Length = 9")
    ada.asked("bob (Bob Noyce) is editing Body001 of FC-0001")
    ada.shows("Body001 of FC-0001 · NOT LOCKED: bob (Bob Noyce) has it")
    assert ada.in_edit


# As FreeCAD's command does it: in one go.
NEW_PAD = """
App.ActiveDocument.Body.newObject("PartDesign::Pad", "New")
Gui.ActiveDocument.setEdit("New")
"""


def test_a_new_feature_in_a_body_that_somebody_holds_is_refused(ada, bob, part, world):
    part(ada)
    part(bob)
    assert ada.enters("Pad")
    bob.do(NEW_PAD)
    bob.asked("ada (Ada Lovelace) is editing Body of FC-0001")
    assert not bob.in_edit
    assert world.holders() == [("ada", "Body")]


def test_a_part_number_locks_what_is_in_edit(ada, part, world):
    part(ada)
    ada.do("silo().set_part_number(App.ActiveDocument, '')")
    assert ada.enters("Sketch")
    ada.settled()
    assert world.holders() == []
    ada.do("silo().set_part_number(App.ActiveDocument, 'FC-0001')")
    ada.shows("Sketch of FC-0001 · in edit")
    assert world.holders() == [("ada", "Sketch")]


def test_only_the_refused_change_is_undone(ada, bob, part):
    part(ada)
    part(bob)
    assert ada.enters("Pad")
    # Two changes before the refusal can come.
    bob.do(SET_LENGTH.format(length=9) + RELABEL)
    bob.asked("Change it back yourself if you do not want it.")
    bob.answers("Keep it")
    bob.do("App.ActiveDocument.save()")
    # A change that cannot be undone.
    bob.do("App.ActiveDocument.Pad.Length = 8")
    bob.asked("Change it back yourself")
    bob.answers("Keep it")
    bob.do("App.ActiveDocument.save()")
    # An undo is a change, too.
    bob.do("App.ActiveDocument.undo()\nApp.ActiveDocument.undo()")
    bob.asked("It came by Undo or Redo")


def test_a_refused_deletion_is_undone_once(ada, bob, part):
    part(ada)
    part(bob)
    assert ada.enters("Pad001")
    bob.do(DELETE)
    bob.asked("Your change is not protected")
    bob.answers("Undo my change")
    bob.until("App.ActiveDocument.getObject('Pad001') is not None")
    bob.shows_not("NOT LOCKED")
    bob.settled()
    assert bob.questions == []
