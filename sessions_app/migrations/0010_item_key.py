"""An item is known by a key: nullable as yet, so that a database with two spellings of a part can be put right."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import sessions_app.models.item
from sessions_app.text import name_key, without_refused

BATCH = 5000
FILL = """
UPDATE sessions_app_item item SET key = new.key
FROM unnest(%s::uuid[], %s::text[]) new (id, key) WHERE item.id = new.id
"""


def fill(apps, schema_editor):
    """Give every item that has none its key."""
    items = apps.get_model("sessions_app", "Item").objects.using(schema_editor.connection.alias)
    while rows := list(items.filter(key=None).values_list("id", "part_number")[:BATCH]):
        keys = [name_key(without_refused(part_number)) for _, part_number in rows]
        with schema_editor.connection.cursor() as cursor:
            cursor.execute(FILL, [[pk for pk, _ in rows], keys])


class Migration(migrations.Migration):
    dependencies = [("sessions_app", "0009_notes_and_names")]

    operations = [
        migrations.CreateModel(
            name="FormerPartNumber",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("part_number", models.CharField(max_length=200)),
                ("key", sessions_app.models.item.NameKeyField(db_index=True)),
                (
                    "merged_id",
                    models.UUIDField(
                        editable=False,
                        help_text="Of the item that was merged: its record names it",
                        null=True,
                    ),
                ),
                (
                    "since",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False
                    ),
                ),
                (
                    "item",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="former_part_numbers",
                        to="sessions_app.item",
                    ),
                ),
            ],
        ),
        migrations.AddField(
            model_name="item",
            name="retired_at",
            field=models.DateTimeField(
                editable=False,
                help_text="Since when nothing new can be edited on it",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="item",
            name="key",
            field=sessions_app.models.item.NameKeyField(null=True),
        ),
        migrations.AlterField(
            model_name="item",
            name="part_number",
            field=models.CharField(
                help_text="As it was first written", max_length=200, unique=True
            ),
        ),
    ]
