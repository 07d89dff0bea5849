from django.db import migrations

from events_app.models import new_epoch


def create_single_rows(apps, schema_editor):
    """Name the log; nobody has observed anything yet."""
    apps.get_model("events_app", "EventLog").objects.create(pk=1, epoch=new_epoch())
    apps.get_model("events_app", "Observation").objects.create(pk=1)


class Migration(migrations.Migration):
    dependencies = [("events_app", "0001_initial")]

    operations = [migrations.RunPython(create_single_rows, migrations.RunPython.noop)]
