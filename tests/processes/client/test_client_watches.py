"""`Workstation.watch` against real servers: the picture of who holds and who waits, and each change of it."""

import pytest

from events_app.models import LogEntry
from tests.factories import make_item
from tests.waiting import eventually


class Eyes:
    """A workstation that watches, and what its callback was told."""

    def __init__(self, workstation):
        self.workstation = workstation
        self.told = []
        workstation.on_change = lambda picture, changed: self.told.append((picture, changed))

    def watch(self, *part_numbers, **more):
        return self.workstation.watch(part_numbers, wait=30, **more)

    @property
    def holders(self):
        """By part number, the accounts that hold what of it; None for an item that is not read yet."""
        items = self.workstation.watched.items
        return {
            number: [(one.user, one.object_id) for one in item.holders]
            for number, item in items.items()
        }

    @property
    def waiting(self):
        items = self.workstation.watched.items
        return {
            number: [(one.user, one.position) for one in item.waiting]
            for number, item in items.items()
        }

    def see(self, **what):
        """Wait until the picture is this, and says that it is right."""
        wanted = {number.replace("_", "-"): held for number, held in what.items()}
        eventually(lambda: self.holders == wanted and not self.workstation.watched.stale, wanted)


@pytest.fixture
def eyes(ada, connect):
    return Eyes(connect(ada, program="eyes"))


@pytest.fixture
def items(committed_db):
    return [make_item(f"W-{number}").part_number for number in range(3)]


def test_the_picture_follows_what_others_do_with_items_that_are_not_held(eyes, bob, connect, items):
    other = connect(bob)
    before = other.edit("W-0", level="sketch", object_id="A")
    picture = eyes.watch("W-0", "W-1")
    assert (picture.stale, picture.problems) == ("", {})
    assert eyes.holders == {"W-0": [("bob", "A")], "W-1": []}
    [holder] = picture.items["W-0"].holders
    assert (holder.session_id, holder.workstation_id) == (before.id, other.id)
    eventually(lambda: eyes.told)
    assert set(eyes.told[-1][1]) == {"W-0", "W-1"}
    with other.edit("W-1", level="sketch", object_id="B"):
        eyes.see(W_0=[("bob", "A")], W_1=[("bob", "B")])
        eventually(lambda: eyes.told[-1][1] == ("W-1",))
    eyes.see(W_0=[("bob", "A")], W_1=[])
    before.release()
    eyes.see(W_0=[], W_1=[])
    count = len(eyes.told)
    assert len([one for one in eyes.told if "W-2" in one[1]]) == 0
    assert eyes.watch() == eyes.workstation.watched
    with other.edit("W-1", level="sketch", object_id="B"):
        # Nothing is watched any more; its own event has passed.
        eventually(LogEntry.objects.filter(type="edit.session_acquired").exists)
    assert eyes.workstation.watched.items == {}
    assert len(eyes.told) <= count + 1
