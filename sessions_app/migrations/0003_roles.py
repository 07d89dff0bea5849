from django.db import migrations

ROLES = ["viewer", "editor", "admin"]


def create_roles(apps, schema_editor):
    """Make the groups that are the roles."""
    group = apps.get_model("auth", "Group")
    for name in ROLES:
        group.objects.get_or_create(name=name)


class Migration(migrations.Migration):
    dependencies = [
        ("sessions_app", "0002_database_rules"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    operations = [migrations.RunPython(create_roles, migrations.RunPython.noop)]
