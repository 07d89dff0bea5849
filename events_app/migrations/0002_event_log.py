from django.db import migrations

from events_app.models import new_epoch


def create_event_log(apps, schema_editor):
    """Name the log: its one row."""
    apps.get_model("events_app", "EventLog").objects.create(pk=1, epoch=new_epoch())


class Migration(migrations.Migration):
    dependencies = [("events_app", "0001_initial")]

    operations = [
        migrations.RunPython(create_event_log, migrations.RunPython.noop, elidable=False),
    ]
