from django.db import migrations

from events_app.database.single_rows import create


def create_single_rows(apps, schema_editor):
    """Name the log; nobody has observed anything yet."""
    create(apps, schema_editor.connection.alias)


class Migration(migrations.Migration):
    dependencies = [("events_app", "0001_initial")]

    operations = [migrations.RunPython(create_single_rows, migrations.RunPython.noop)]
