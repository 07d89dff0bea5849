"""`manage.py dumpdata` and `loaddata`: they give back what was there, and no number a second time."""

from datetime import datetime
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from events_app.database import sql
from events_app.log import event_log
from events_app.models import ServerProcess
from sessions_app import operations
from sessions_app.models import EditSession, EndedSession, HandoffRequest, Item, PlaceInLine
from sessions_app.operations.epoch import TOKEN_LEAP, TOKEN_SEQUENCE
from sessions_app.roles import Role
from tests.factories import acquire, connect, let_go, make_item, make_user, make_workstation, stand

pytestmark = pytest.mark.usefixtures("committed_db")

# As docs/administration.md says.
DUMP = ["--natural-foreign", "-e", "contenttypes", "-e", "auth.permission"]
DUMP += ["-e", "admin", "-e", "sessions"]
SEQUENCES = (TOKEN_SEQUENCE, "sessions_app_place_number")


@pytest.fixture
def dumped(tmp_path):
    """A database with something of everything, dumped."""
    item = make_item("DIN 912/M5")
    ada, bob = make_workstation(make_user("ada")), make_workstation(make_user("bob", Role.ADMIN))
    connect(bob)
    released = acquire(ada, item, "A").session
    let_go(released.pk)
    held = acquire(ada, item, "B", cone=["n1"]).session
    stand(bob, item, "B")
    operations.handoff.request(bob.user, held.pk, "please", bob.pk)
    path = tmp_path / "dump.json"
    call_command("dumpdata", *DUMP, output=str(path), verbosity=0)
    return path


@pytest.fixture
def emptied(dumped):
    """The database is a new one: everything is gone, and numbers begin anew."""
    call_command("flush", "--no-input", verbosity=0)
    for sequence in SEQUENCES:
        sql.set_sequence(sequence, 1)
    return dumped


def load(path):
    out = StringIO()
    call_command("loaddata", str(path), stdout=out)
    return out.getvalue()


def rows(model, *without):
    names = [field.attname for field in model._meta.fields if field.attname not in without]
    found = list(model.objects.order_by("pk").values(*names))
    return [{name: to_the_millisecond(value) for name, value in row.items()} for row in found]


def to_the_millisecond(value):
    """What Django's JSON keeps of a time."""
    if not isinstance(value, datetime):
        return value
    return value.replace(microsecond=value.microsecond // 1000 * 1000)


def everything():
    return {
        EditSession: rows(EditSession, "fencing_token"),
        EndedSession: rows(EndedSession),
        HandoffRequest: rows(HandoffRequest),
        Item: rows(Item),
        PlaceInLine: rows(PlaceInLine),
        User: rows(User),
    }


def test_dumped_rows_are_loaded_again(dumped):
    before = everything()
    call_command("flush", "--no-input", verbosity=0)
    load(dumped)
    assert everything() == before
    assert all(map(len, before.values()))
    assert User.objects.get(username="bob").groups.get().name == Role.ADMIN.group


def test_no_token_is_given_out_twice(emptied):
    said = load(emptied)
    known = EndedSession.objects.get().fencing_token
    assert "every fencing token is above" in said
    # Also not one that was given out after the dump.
    assert EditSession.objects.get().fencing_token > known + TOKEN_LEAP
    item = make_item("A-2")
    new = acquire(make_workstation(make_user("cy")), item).session
    assert new.fencing_token > EditSession.objects.exclude(pk=new.pk).get().fencing_token


def test_no_cursor_of_before_can_be_continued(dumped):
    before = event_log.state()
    call_command("flush", "--no-input", verbosity=0)
    between = event_log.state()
    load(dumped)
    after = event_log.state()
    assert len({state.head.epoch for state in (before, between, after)}) == 3
    assert after.resume(str(before.head)) is None
    # Event ids go on above those that were loaded.
    acquire(make_workstation(make_user("cy")), make_item("A-2"))
    assert event_log.state().head.id > before.head.id


def test_places_in_line_go_on_above_those_that_were_loaded(emptied):
    load(emptied)
    cy = make_workstation(make_user("cy"))
    connect(cy)
    stand(cy, Item.objects.get(), "B")
    first, second = PlaceInLine.objects.order_by("number")
    assert second.workstation == cy
    assert second.number > first.number


def test_server_processes_of_a_dump_are_not_loaded(tmp_path):
    connect(make_workstation(make_user()))
    path = tmp_path / "all.json"
    call_command("dumpdata", "events_app", output=str(path), verbosity=0)
    call_command("flush", "--no-input", verbosity=0)
    load(path)
    assert not ServerProcess.objects.exists()


def test_items_alone_begin_no_epoch(tmp_path):
    make_item("A-1")
    path = tmp_path / "items.json"
    call_command("dumpdata", "sessions_app.item", output=str(path), verbosity=0)
    before = event_log.state(), sql.last_of_sequence(TOKEN_SEQUENCE)
    assert "Epoch" not in load(path)
    assert (event_log.state(), sql.last_of_sequence(TOKEN_SEQUENCE)) == before


def test_the_record_is_not_changed_by_a_dump(dumped):
    before = everything()
    with pytest.raises(CommandError, match=r"Nothing was loaded\. .*append-only") as error:
        load(dumped)
    assert len(str(error.value).splitlines()) == 1
    assert everything() == before


def test_a_file_that_is_not_there_is_one_sentence():
    with pytest.raises(CommandError, match="No fixture named"):
        load("/does/not/exist.json")
