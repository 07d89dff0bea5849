"""The index on cones leaves out the empty ones, which are most."""

from importlib import import_module

import django.contrib.postgres.indexes
from django.db import migrations, models

import sessions_app.interference.cones

NO_STATISTICS = import_module("sessions_app.migrations.0006_cone_index").NO_STATISTICS


class Migration(migrations.Migration):
    dependencies = [("sessions_app", "0018_notify_of_credentials")]

    operations = [
        # Undone, the former index gets it back.
        migrations.RunSQL(migrations.RunSQL.noop, NO_STATISTICS),
        migrations.RemoveIndex(model_name="editsession", name="edit_session_cone_keys"),
        migrations.AddIndex(
            model_name="editsession",
            index=django.contrib.postgres.indexes.GinIndex(
                sessions_app.interference.cones.ConeKeys("item", "dependency_cone"),
                condition=models.Q(sessions_app.interference.cones.HasKeys("dependency_cone")),
                fastupdate=False,
                name="edit_session_cone_keys",
            ),
        ),
        migrations.RunSQL(NO_STATISTICS, migrations.RunSQL.noop),
    ]
