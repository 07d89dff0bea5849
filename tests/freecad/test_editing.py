"""Real edits in real FreeCADs: entered, refused, left, held until saved."""

from tests.waiting import eventually


def test_an_edit_locks_and_another_one_is_refused(ada, bob, part, world):
    part(ada)
    part(bob)
    assert ada.enters("Sketch")
    assert world.holders() == [("ada", "Sketch")]
    assert not bob.enters("Sketch")
    text = bob.asked("is editing")
    assert text.startswith("ada (Ada Lovelace) is editing Sketch of FC-0001 on ")
    assert not bob.in_edit
    # Looking changes nothing, so the lock is free at once.
    ada.leaves()
    eventually(lambda: world.holders() == [], "released")
    assert bob.enters("Sketch")
    assert world.holders() == [("bob", "Sketch")]
    bob.leaves()
    eventually(lambda: world.holders() == [], "released")
