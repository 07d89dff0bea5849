"""No two items have one key. Where two have, this refuses, and says which and what to do."""

import importlib
import logging

from django.core.management.base import CommandError
from django.db import migrations
from django.db.models import Count

import sessions_app.models.item
from sessions_app.text import part_number_fault, without_refused

logger = logging.getLogger(__name__)

fill = importlib.import_module("sessions_app.migrations.0010_item_key").fill

# Nobody adds an item meanwhile. Acquires and releases go on: they lock rows only.
LOCK = "LOCK TABLE sessions_app_item IN SHARE ROW EXCLUSIVE MODE"
LISTED = 50
REFUSAL = """\
{parts} in several spellings, {items} items: each spelling would be a lock of its own on one part.
{listed}
Nothing was changed. Merge the items of each part, the one to keep first; what is edited, who waits and the record are kept:
{commands}
Then run migrate again. See docs/administration.md, "Items"."""


def prepare(apps, schema_editor):
    """See that every item has a key of its own, and take out of part numbers what cannot be seen."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(LOCK)
    fill(apps, schema_editor)
    items = apps.get_model("sessions_app", "Item").objects.using(schema_editor.connection.alias)
    _refuse_twins(apps, items)
    for item in list(items.exclude(part_number__regex=r"^[\x20-\x7e]*$").iterator()):
        clean = without_refused(item.part_number).strip()
        if clean == item.part_number:
            continue
        if fault := part_number_fault(clean):
            raise CommandError(f"The part number {ascii(item.part_number)} cannot stay: {fault}.")
        logger.warning("%a is %r now, without what cannot be seen", item.part_number, clean)
        item.part_number = clean
        item.save(update_fields=["part_number"])


def _refuse_twins(apps, items):
    twins = items.values("key").annotate(count=Count("pk")).filter(count__gt=1).order_by("key")
    counts = dict(twins.values_list("key", "count"))
    if not counts:
        return
    shown = list(counts)[:LISTED]
    of_key = {key: [] for key in shown}
    for item in items.filter(key__in=shown).order_by("created_at", "id"):
        of_key[item.key].append(item)
    ids = [item.id for group in of_key.values() for item in group]
    active, ended = (
        dict(
            apps.get_model("sessions_app", name)
            .objects.filter(item_id__in=ids)
            .order_by()
            .values("item_id")
            .annotate(count=Count("pk"))
            .values_list("item_id", "count")
        )
        for name in ("EditSession", "EndedSession")
    )
    listed = [
        f"  {_shown(item.part_number)}: item {item.id} of {item.created_at:%Y-%m-%d}, "
        f"{active.get(item.id, 0)} active sessions, {ended.get(item.id, 0)} on record"
        for group in of_key.values()
        for item in group
    ]
    commands = [
        "  python manage.py mergeitems " + " ".join(str(item.id) for item in group)
        for group in of_key.values()
    ]
    if len(counts) > LISTED:
        listed.append(f"  and so on: these are the first {LISTED} of {len(counts)} parts.")
    raise CommandError(
        REFUSAL.format(
            items=sum(counts.values()),
            parts="There is 1 part" if len(counts) == 1 else f"There are {len(counts)} parts",
            listed="\n".join(listed),
            commands="\n".join(commands),
        )
    )


def _shown(text):
    """As it is, and with escapes where two that differ may look alike."""
    return repr(text) if text.isascii() else f"{text!r} ({ascii(text)})"


UNIQUE = [
    migrations.AlterField(
        model_name="item",
        name="key",
        field=sessions_app.models.item.NameKeyField(unique=True),
    ),
    # The index of that constraint finds how a key begins.
    migrations.RemoveIndex(model_name="item", name="item_part_number_begins"),
]
IN_ONE_TRANSACTION = migrations.SeparateDatabaseAndState(
    database_operations=[
        migrations.RunPython(prepare, migrations.RunPython.noop),
        *UNIQUE,
    ],
    state_operations=UNIQUE,
)
IN_ONE_TRANSACTION.atomic = True


class Migration(migrations.Migration):
    """First the keys in batches, each committed, so that nobody waits for the table; then the rest in one transaction.

    Wherever it is broken off, it can be run again.
    """

    atomic = False
    dependencies = [("sessions_app", "0010_item_key")]

    operations = [
        migrations.RunPython(fill, migrations.RunPython.noop),
        IN_ONE_TRANSACTION,
    ]
