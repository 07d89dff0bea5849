"""`Workstation.watch` against real servers: the picture of who holds and who waits, and each change of it."""

import os
import signal

import pytest

from events_app.models import Connection, LogEntry
from sessions_app import operations
from sessions_app.models import EditSession, EndedSession
from silo_client import ClosedError
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


def test_those_who_wait_are_seen_until_their_turn(eyes, ada, bob, connect, run_program, items):
    holder, waiting = connect(ada), run_program(bob)
    session = holder.edit("W-0", level="sketch")
    eyes.watch("W-0")
    assert eyes.waiting == {"W-0": []}
    turn = waiting.send("edit", {"part_number": "W-0", "level": "sketch", "wait": True})
    eventually(lambda: eyes.waiting == {"W-0": [("bob", 1)]})
    [place] = eyes.workstation.watched.items["W-0"].waiting
    assert place.workstation_id == waiting.workstation_id
    session.release()
    turn()
    eyes.see(W_0=[("bob", "")])
    eventually(lambda: eyes.waiting == {"W-0": []})
    # Gives up by its death.
    waiting.kill()
    eyes.see(W_0=[])


def test_watching_never_touches_what_is_held(eyes, items):
    with eyes.workstation.edit("W-0", level="sketch") as session:
        streams = set(Connection.objects.values_list("pk", flat=True))
        for count in range(8):
            eyes.watch(*items[: count % 4])
        assert session.valid
        assert session.lost is None
        # Streams that only watch have no row.
        assert set(Connection.objects.values_list("pk", flat=True)) == streams
        assert EditSession.objects.count() == 1
    assert [one.reason for one in EndedSession.objects.all()] == ["released"]


def test_while_the_server_is_away_the_picture_is_stale_and_right_afterwards(
    eyes, ada, bob, connect, items
):
    other = connect(bob)
    other.edit("W-0", level="sketch", object_id="A")
    other.edit("W-1", level="sketch", object_id="B")
    eyes.watch("W-0", "W-1")
    ada.server.signal(signal.SIGSTOP)
    eventually(lambda: eyes.workstation.watched.stale)
    eventually(lambda: eyes.told[-1][0].stale)
    assert eyes.told[-1][1] == ()
    assert eyes.holders == {"W-0": [("bob", "A")], "W-1": [("bob", "B")]}
    # As by another server.
    EditSession.objects.filter(object_id="A").delete()
    operations.epoch.begin()
    ada.server.signal(signal.SIGCONT)
    eventually(lambda: eyes.holders["W-0"] == [] and not eyes.workstation.watched.stale)


def test_another_helper_goes_on_watching(eyes, bob, connect, items):
    eyes.watch("W-0")
    first = eyes.workstation.helper_pid
    os.kill(first, signal.SIGKILL)
    eventually(lambda: any(picture.stale for picture, _ in eyes.told))
    eventually(lambda: eyes.workstation.helper_pid != first)
    eyes.see(W_0=[])
    with connect(bob).edit("W-0", level="sketch"):
        eyes.see(W_0=[("bob", "")])


def test_unknown_numbers_are_named_and_a_closed_workstation_watches_no_more(
    eyes, bob, connect, items
):
    picture = eyes.watch("none", "w-0", "W-1", "a\nb")
    assert set(picture.problems) == {"none", "a\nb"}
    assert picture.stale == ""
    other = connect(bob)
    with other.edit("W-0", level="sketch"):
        eventually(lambda: eyes.holders["w-0"] == [("bob", "")])
    eyes.workstation.close()
    assert eyes.workstation.watched.stale == "The workstation was closed."
    with pytest.raises(ClosedError):
        eyes.watch("W-0")


def test_of_three_holders_the_two_that_meet_are_told_live_and_by_name(
    ada, bob, client_of, connect, items
):
    """The third one, whose cone has nothing in common, hears nothing."""
    told = {}

    def at(client, name):
        told[name] = []
        return connect(
            client,
            on_conflict=lambda session, other: told[name].append((session, other, "begins")),
            on_conflict_over=lambda session, other: told[name].append((session, other, "over")),
        )

    cy = client_of(ada.server, "cy")
    stations = {name: at(one, name) for name, one in (("ada", ada), ("bob", bob), ("cy", cy))}

    def edit(name, object_id, *cone):
        return stations[name].edit("W-0", level="sketch", object_id=object_id, cone=cone)

    lid = edit("ada", "LidSketch", "LidSketch", "LidPad", "Lid")
    sketch = edit("bob", "Sketch", "Sketch", "Pad", "Pocket", "Body")
    pocket = edit("cy", "Sketch001", "Sketch001", "Pocket", "Body")
    eventually(lambda: told["bob"])
    [(session, other, what)] = told["bob"]
    assert (session, what) == (sketch, "begins")
    assert (other.holder.session_id, other.holder.user) == (pocket.id, "cy")
    assert other.shared == ("Body", "Pocket")
    # Both name the other one, now and as long as it lasts.
    [seen_by_bob], [seen_by_cy] = sketch.conflicts, pocket.conflicts
    assert seen_by_bob.shared == seen_by_cy.shared == ("Body", "Pocket")
    assert seen_by_cy.holder.session_id == sketch.id
    assert lid.conflicts == []
    pocket.release()
    eventually(lambda: told["bob"][1:])
    assert [(one.holder.session_id, what) for _, one, what in told["bob"][1:]] == [
        (pocket.id, "over")
    ]
    assert sketch.conflicts == []
    # Its own event has passed ada by, and no other came.
    eventually(LogEntry.objects.filter(type="edit.interference_resolved").exists)
    assert told["ada"] == told["cy"] == []


def test_a_conflict_over_ten_thousand_node_keys_is_named_whole_to_both(ada, bob, connect, items):
    keys = [f"Body{number:05}" for number in range(10_000)]
    mine = connect(ada).edit("W-0", level="sketch", object_id="A", cone=keys)
    theirs = connect(bob).edit("W-0", level="sketch", object_id="B", cone=keys)
    eventually(lambda: mine.conflicts)
    for session, other in ((mine, theirs), (theirs, mine)):
        [conflict] = session.conflicts
        assert conflict.holder.session_id == other.id
        assert conflict.shared == tuple(keys)
    assert mine.valid
