import django.contrib.postgres.indexes
from django.db import migrations

# What is pending is cleaned here, once, instead of by whoever appends.
AT_ONCE = """
ALTER INDEX events_app_log_channels SET (fastupdate = off);
SELECT gin_clean_pending_list('events_app_log_channels');
"""
AS_BEFORE = "ALTER INDEX events_app_log_channels RESET (fastupdate)"


class Migration(migrations.Migration):
    dependencies = [("events_app", "0002_single_rows")]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.RemoveIndex(model_name="logentry", name="events_app_log_channels"),
                migrations.AddIndex(
                    model_name="logentry",
                    index=django.contrib.postgres.indexes.GinIndex(
                        fields=["channels"], fastupdate=False, name="events_app_log_channels"
                    ),
                ),
            ],
            # The index is not built anew: a log may hold millions of entries.
            database_operations=[migrations.RunSQL(AT_ONCE, AS_BEFORE)],
        )
    ]
