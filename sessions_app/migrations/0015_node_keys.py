"""How many node keys a session's or a place's cone has, next to the cone: a limit counts them without reading cones."""

from django.db import migrations, models

# Whoever writes a cone, the number is right: a server of before does not know the column.
COUNTED = """
CREATE FUNCTION sessions_app_count_node_keys() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.node_keys := cardinality(NEW.dependency_cone);
    RETURN NEW;
END $$;
CREATE TRIGGER edit_session_node_keys BEFORE INSERT OR UPDATE OF dependency_cone ON sessions_app_editsession
    FOR EACH ROW EXECUTE FUNCTION sessions_app_count_node_keys();
CREATE TRIGGER place_in_line_node_keys BEFORE INSERT OR UPDATE OF dependency_cone ON sessions_app_placeinline
    FOR EACH ROW EXECUTE FUNCTION sessions_app_count_node_keys();
"""
NOT_COUNTED = """
DROP TRIGGER edit_session_node_keys ON sessions_app_editsession;
DROP TRIGGER place_in_line_node_keys ON sessions_app_placeinline;
DROP FUNCTION sessions_app_count_node_keys();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("sessions_app", "0014_machine"),
    ]

    operations = [
        migrations.AddField(
            model_name="editsession",
            name="node_keys",
            field=models.IntegerField(db_default=0, editable=False),
        ),
        migrations.AddField(
            model_name="placeinline",
            name="node_keys",
            field=models.IntegerField(db_default=0, editable=False),
        ),
        migrations.RunSQL(COUNTED, NOT_COUNTED),
    ]
