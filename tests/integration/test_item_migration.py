"""A database of before items had keys, with two spellings of a part in use, becomes one in which it is one part."""

import io
import uuid

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models.functions import Now

from events_app.models import ServerProcess
from sessions_app import operations
from sessions_app.models import (
    EditSession,
    EndedSession,
    FormerPartNumber,
    HandoffRequest,
    Item,
    PlaceInLine,
)
from tests.factories import (
    acquire,
    api_of,
    connect,
    events,
    let_go,
    make_item,
    make_user,
    make_workstation,
    stand,
)

pytestmark = pytest.mark.usefixtures("committed_db")

BEFORE = ("sessions_app", "0009_notes_and_names")


def migrate_to(*target):
    executor = MigrationExecutor(connection)
    executor.migrate([target] if target else executor.loader.graph.leaf_nodes())
    return executor.loader.project_state([target] if target else None).apps


@pytest.fixture
def old_world():
    """`Gehäuse-7` twice: composed, held and with a line; decomposed, held elsewhere, with a line and a record."""
    ada, bob = (make_workstation(make_user(name), f"{name}'s") for name in ("ada", "bob"))
    for workstation in (ada, bob):
        connect(workstation)
    composed, decomposed, hidden = make_item("1"), make_item("2"), make_item("3")
    let_go(acquire(ada, decomposed, "old").session.pk)
    acquire(ada, composed, "A")
    acquire(bob, decomposed, "B")
    stand(bob, composed, "A")
    stand(ada, decomposed, "B")
    operations.handoff.request(ada.user, EditSession.objects.get(object_id="B").pk, "")
    try:
        old = migrate_to(*BEFORE).get_model("sessions_app", "Item").objects
        old.filter(pk=composed.pk).update(part_number="Gehäuse-7")
        old.filter(pk=decomposed.pk).update(part_number="Geha\u0308use-7")
        old.filter(pk=hidden.pk).update(part_number="A\u200b-1")
        old.bulk_create(old.model(part_number=f"P-{number}") for number in range(6_000))
        yield composed, decomposed, ada, bob
    finally:
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE sessions_app_item CASCADE")
        migrate_to()


def merge(*names):
    out = io.StringIO()
    call_command("mergeitems", *map(str, names), stdout=out)
    return out.getvalue()


def test_twins_are_refused_listed_merged_and_then_one(old_world):
    composed, decomposed, ada, _ = old_world
    for _ in range(2):
        with pytest.raises(CommandError) as refusal:
            migrate_to()
        said = str(refusal.value)
        assert "1 part in several spellings, 2 items" in said
        assert f"'Gehäuse-7' ('Geh\\xe4use-7'): item {composed.pk} of 20" in said
        assert f"item {decomposed.pk} of 20" in said
        assert "1 active sessions, 1 on record" in said
        assert f"mergeitems {composed.pk} {decomposed.pk}" in said
    assert merge(composed.pk, decomposed.pk) == "2 items are one now.\n"
    migrate_to()
    assert Item.objects.count() == 6_002
    assert not Item.objects.filter(key=None).exists()
    item = Item.objects.named("GEHÄUSE-7")
    assert (item.pk, item.part_number) == (composed.pk, "Gehäuse-7")
    assert Item.objects.named("a-1").part_number == "A-1"
    assert set(EditSession.objects.values_list("item", "object_id")) == {
        (item.pk, "A"),
        (item.pk, "B"),
    }
    assert set(PlaceInLine.objects.values_list("item", "object_id")) == {
        (item.pk, "A"),
        (item.pk, "B"),
    }
    assert HandoffRequest.objects.count() == 1
    assert [record.item_id for record in EndedSession.objects.of_item("gehäuse-7")] == [
        decomposed.pk
    ]
    [former] = FormerPartNumber.objects.all()
    assert (former.item, former.part_number, former.merged_id) == (
        item,
        "Geha\u0308use-7",
        decomposed.pk,
    )
    name, channels, data = events()[-1]
    assert (name, data["old_part_number"]) == ("item.renamed", "Geha\u0308use-7")
    assert {f"item:{composed.pk}", f"item:{decomposed.pk}", f"workstation:{ada.pk}"} <= channels
    # And it is in use.
    api = api_of(ada.user)
    found = api("GET", "/api/edit-sessions/history?item=Gehäuse-7").json()["history"]
    assert [one["object_id"] for one in found] == ["old"]
    # The migrations may have taken longer than a server may be silent.
    ServerProcess.objects.update(last_beat=Now())
    let_go(EditSession.objects.get(object_id="B").pk)
    assert EditSession.objects.get(object_id="B").workstation == ada


@pytest.mark.parametrize(
    "statement", ['ADD COLUMN "key"', "SET key = new.key", "LOCK TABLE", "DROP INDEX"]
)
def test_a_migration_that_was_broken_off_goes_on(old_world, statement):
    """As where a lock was not to be had in time, or somebody has stopped it between two batches."""
    merge_later, _, _, _ = old_world
    seen = 0

    def break_off(execute, sql, params, many, context):
        nonlocal seen
        seen += statement in sql
        # Of the batches the second one.
        if seen == (2 if "SET" in statement else 1) and statement in sql:
            raise ConnectionAbortedError
        return execute(sql, params, many, context)

    if statement == "DROP INDEX":
        migrate_to(*BEFORE).get_model("sessions_app", "Item").objects.filter(
            pk=merge_later.pk
        ).update(part_number="another")
    with connection.execute_wrapper(break_off), pytest.raises(ConnectionAbortedError):
        migrate_to()
    if statement == "DROP INDEX":
        migrate_to()
        assert Item.objects.named("ANOTHER").pk == merge_later.pk
    else:
        with pytest.raises(CommandError, match="1 part in several spellings"):
            migrate_to()


def test_two_who_hold_the_same_are_named_and_nothing_is_changed(old_world):
    composed, decomposed, _, bob = old_world
    with pytest.raises(CommandError):
        migrate_to()
    EditSession.objects.filter(object_id="B").update(object_id="A")
    with pytest.raises(
        CommandError, match=r"sketch A: ada on ada's .* and bob on bob's"
    ) as refusal:
        merge(composed.pk, decomposed.pk)
    assert "Nothing was changed" in str(refusal.value)
    assert EditSession.objects.filter(item=decomposed.pk).exists()
    EditSession.objects.filter(item=decomposed.pk).delete()
    merge(composed.pk, decomposed.pk)
    # ada stood in the line for what she has; bob stood in one line only.
    places = PlaceInLine.objects.filter(workstation=bob.pk)
    assert list(places.values_list("object_id", flat=True)) == ["A"]


@pytest.mark.parametrize(
    ("names", "fault"),
    [
        (["P-1", "P-1"], "Name each item once"),
        (["P-1", "p-2"], "There is no item 'p-2', letter for letter"),
        (["P-1", str(uuid.UUID(int=1))], "There is no item 00000000"),
    ],
)
@pytest.mark.django_db
def test_items_that_cannot_be_merged_are_named(names, fault):
    make_item("P-1")
    make_item("P-2")
    with pytest.raises(CommandError, match=fault):
        merge(*names)
    assert merge("P-1", "P-2")
    assert Item.objects.named("p-2").part_number == "P-1"
