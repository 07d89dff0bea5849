from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    """The record has a row for each session that ever ended: nobody waits while it is read."""

    atomic = False
    dependencies = [("sessions_app", "0011_item_key_unique")]

    operations = [
        AddIndexConcurrently(
            model_name="endedsession",
            index=models.Index(fields=["item_id", "id"], name="ended_session_of_item_id"),
        ),
    ]
