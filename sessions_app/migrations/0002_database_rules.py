from django.db import migrations

# Room for a row's next version on its own page: a heartbeat is then a heap-only update.
FILLFACTOR = "ALTER TABLE sessions_app_editsession SET (fillfactor = 70)"

APPEND_ONLY = """
CREATE FUNCTION sessions_app_record_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the record of ended sessions is append-only';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON sessions_app_endedsession
    FOR EACH ROW EXECUTE FUNCTION sessions_app_record_is_append_only();
"""
NOT_APPEND_ONLY = """
DROP TRIGGER append_only ON sessions_app_endedsession;
DROP FUNCTION sessions_app_record_is_append_only();
"""


class Migration(migrations.Migration):
    dependencies = [("sessions_app", "0001_initial")]

    operations = [
        migrations.RunSQL(FILLFACTOR, "ALTER TABLE sessions_app_editsession RESET (fillfactor)"),
        migrations.RunSQL(APPEND_ONLY, NOT_APPEND_ONLY),
    ]
