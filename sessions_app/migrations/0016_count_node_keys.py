"""Count the node keys of the cones that are there."""

from typing import Any

from django.db import migrations, transaction

# Rows that one transaction counts: sessions are locked for moments, and no index is written.
BATCH = 5_000
COUNT = """
WITH page AS (SELECT id FROM {table} WHERE id > %s ORDER BY id LIMIT %s),
counted AS (
    UPDATE {table} SET node_keys = cardinality(dependency_cone) WHERE id IN (
        SELECT id FROM {table} WHERE id IN (SELECT id FROM page) AND dependency_cone <> '{{}}'
        ORDER BY id FOR NO KEY UPDATE
    )
)
SELECT id FROM page ORDER BY id DESC LIMIT 1
"""


def count(apps: Any, schema_editor: Any) -> None:
    """Count what is there, a batch at a time: servers may run meanwhile."""
    for table in ("sessions_app_editsession", "sessions_app_placeinline"):
        last = "00000000-0000-0000-0000-000000000000"
        while last:
            with transaction.atomic(), schema_editor.connection.cursor() as cursor:
                cursor.execute(COUNT.format(table=table), [last, BATCH])
                row = cursor.fetchone()
            last = row and row[0]


class Migration(migrations.Migration):
    # What is counted stays: where it ends in the middle it begins again.
    atomic = False

    dependencies = [
        ("sessions_app", "0015_node_keys"),
    ]

    operations = [
        migrations.RunPython(count, migrations.RunPython.noop),
    ]
