from django.db import migrations

# A row trigger does not see TRUNCATE, which is how `flush` empties tables.
NOT_EMPTIED = """
CREATE FUNCTION sessions_app_record_is_not_emptied() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF coalesce(current_setting('silo.empty_the_record', true), '') <> 'yes' THEN
        RAISE EXCEPTION 'the record of ended sessions is append-only'
            USING HINT = 'manage.py flush --yes-delete-the-record empties the database with it.';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER not_emptied BEFORE TRUNCATE ON sessions_app_endedsession
    FOR EACH STATEMENT EXECUTE FUNCTION sessions_app_record_is_not_emptied();
"""
MAY_BE_EMPTIED = """
DROP TRIGGER not_emptied ON sessions_app_endedsession;
DROP FUNCTION sessions_app_record_is_not_emptied();
"""


class Migration(migrations.Migration):
    dependencies = [("sessions_app", "0012_history_of_item")]

    operations = [migrations.RunSQL(NOT_EMPTIED, MAY_BE_EMPTIED)]
