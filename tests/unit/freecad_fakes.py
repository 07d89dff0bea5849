"""Stand-ins of FreeCAD's objects, of the server and of what the user sees, for the logic of the FreeCAD add-on."""

from types import SimpleNamespace

from silo_client import EditSession, HardInterferenceError, Lock, Lost
from silo_sessions.places import Place
from silo_sessions.worker import Outcome

HOLDER = {
    "session_id": "of-ada",
    "user": "ada",
    "workstation": {"id": "w-ada", "name": "desk"},
    "context_level": "sketch",
    "object_id": "Sketch",
    "acquired_at": "2026-11-26T10:42:00Z",
}


def place(name="Sketch", document="Doc", level="sketch"):
    return Place(Lock("FC-0001", level, name), document, name, name, (name,))


def session(name="Sketch", number=1, level="sketch", **more):
    payload = {
        "session_id": f"s{number}",
        "part_number": "FC-0001",
        "context_level": level,
        "object_id": name,
        "user": "bob",
        "fencing_token": number,
        "acquired_at": "2026-11-26T10:42:00Z",
    }
    return EditSession(SimpleNamespace(is_valid=lambda _: True), payload | more)


def refusal():
    return HardInterferenceError(409, "hard_interference", "ada has it", {"holder": HOLDER})


class FakeServer:
    """Answers acquires with what `answers` says, by object; late ones when `arrive` is called."""

    def __init__(self):
        self.answers = {}
        self.calls = []
        self.late = []
        self.numbers = 0

    def outcome(self, wanted):
        answer = self.answers.get(wanted.lock.object_id)
        if isinstance(answer, Exception):
            return Outcome(error=answer)
        if answer is None:
            self.numbers += 1
            answer = session(wanted.lock.object_id, self.numbers, wanted.lock.level)
        return Outcome(value=answer)

    def acquire(self, wanted, seconds, late):
        self.calls.append(("acquire", wanted.lock.object_id))
        if self.answers.get(wanted.lock.object_id) == "late":
            self.late.append((wanted, late))
            return None
        return self.outcome(wanted)

    def acquire_later(self, wanted, then):
        self.calls.append(("later", wanted.lock.object_id))
        self.late.append((wanted, then))

    def arrive(self):
        """Deliver the answers that are under way."""
        late, self.late = self.late, []
        for wanted, then in late:
            if self.answers.get(wanted.lock.object_id) == "late":
                del self.answers[wanted.lock.object_id]
            then(self.outcome(wanted))

    def release(self, ended):
        self.calls.append(("release", ended.id))

    def leave(self, ended):
        self.calls.append(("leave", ended.id))

    def hand_over(self, ended, workstation_id, then):
        self.calls.append(("hand over", ended.id, workstation_id))
        self.late.append((None, lambda _: then(Outcome())))

    def handed_over(self):
        late, self.late = self.late, []
        for _, then in late:
            then(None)

    @property
    def released(self):
        return [call[1] for call in self.calls if call[0] == "release"]


class FakeView:
    """Notes what the user would see."""

    def __init__(self):
        self.seen = []
        self.on_end_edit = lambda: None
        self.saves = True

    def refused(self, wanted, holder):
        self.seen.append(("refused", str(wanted), holder.user))

    def other_window(self, wanted):
        self.seen.append(("other window", str(wanted)))

    def refused_late(self, wanted, holder):
        self.seen.append(("refused late", str(wanted), holder.user if holder else None))

    def change_refused(self, wanted, holder):
        self.seen.append(("change refused", str(wanted), holder.user if holder else None))

    def lost(self, wanted, how):
        assert isinstance(how, Lost)
        self.seen.append(("lost", str(wanted), how.reason))

    def asked(self, request):
        self.seen.append(("asked", request.requester))

    def turn(self, wanted):
        self.seen.append(("turn", str(wanted)))

    def end_edit(self):
        self.on_end_edit()

    def save(self, document):
        self.seen.append(("save", document))
        return self.saves

    def say(self, text):
        self.seen.append(("say", text))

    def update(self):
        pass


class Document:
    """Of FreeCAD: objects by name, and who uses whom."""

    def __init__(self, name="Doc", file="/parts/FC-0001.FCStd"):
        self.Name = name
        self.FileName = file
        self.Meta = {}
        self.objects = {}

    def add(self, kind, name, *uses, group=(), tip=None, expressions=(), origin=None):
        """Add an object that uses others, or contains them."""
        made = Object(self, kind, name)
        made.Group = list(group)
        made.Tip = tip
        made.ExpressionEngine = list(expressions)
        if origin is not None:
            made.Origin = origin
        for other in {*uses, *group, *filter(None, (tip, origin))}:
            other.InList.append(made)
        self.objects[name] = made
        return made


CONTAINERS = ("PartDesign::Body", "App::Part", "Assembly::AssemblyObject", "Assembly::JointGroup")


class Object:
    """A document object of FreeCAD."""

    def __init__(self, document, kind, name):
        self.Document = document
        self.TypeId = kind
        self.Name = self.Label = name
        self.InList = []
        self.Group = []
        self.Tip = None
        self.ExpressionEngine = []

    def hasExtension(self, name):
        return name == "App::GroupExtension" and (
            self.TypeId in CONTAINERS or self.TypeId == "App::DocumentObjectGroup"
        )

    def isDerivedFrom(self, kind):
        return self.TypeId == kind


def states(edits):
    """What is held: the place, whether there is a session, in edit, changed."""
    return [(str(one.place), bool(one.session), one.editing, one.changed) for one in edits.holds]
