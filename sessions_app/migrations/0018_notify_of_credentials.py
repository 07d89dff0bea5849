"""Triggers that notify every server of each change of what a bearer token allows.

`sessions_app/credentials.py` listens. The payload is the user's id; an empty one means everybody.
"""

from django.db import migrations

NOTIFY = """
CREATE FUNCTION sessions_app_credentials_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_LEVEL = 'STATEMENT' THEN
        PERFORM pg_notify('silo_credentials', '');
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        PERFORM pg_notify('silo_credentials', to_jsonb(OLD) ->> TG_ARGV[0]);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM pg_notify('silo_credentials', to_jsonb(NEW) ->> TG_ARGV[0]);
    END IF;
    RETURN NULL;
END $$;

-- Without `last_used_at` and `last_login`, which change all the time.
CREATE TRIGGER credentials_changed
    AFTER UPDATE OF id, user_id, role, digest, expires_at, revoked_at OR DELETE ON sessions_app_apitoken
    FOR EACH ROW EXECUTE FUNCTION sessions_app_credentials_changed('user_id');
CREATE TRIGGER credentials_changed
    AFTER UPDATE OF id, is_superuser, username, first_name, last_name, is_active OR DELETE ON auth_user
    FOR EACH ROW EXECUTE FUNCTION sessions_app_credentials_changed('id');
CREATE TRIGGER credentials_changed AFTER INSERT OR UPDATE OR DELETE ON auth_user_groups
    FOR EACH ROW EXECUTE FUNCTION sessions_app_credentials_changed('user_id');
CREATE TRIGGER credentials_changed AFTER UPDATE OR DELETE ON auth_group
    FOR EACH STATEMENT EXECUTE FUNCTION sessions_app_credentials_changed();

-- A row trigger does not see TRUNCATE.
CREATE TRIGGER credentials_emptied AFTER TRUNCATE ON sessions_app_apitoken
    FOR EACH STATEMENT EXECUTE FUNCTION sessions_app_credentials_changed();
CREATE TRIGGER credentials_emptied AFTER TRUNCATE ON auth_user
    FOR EACH STATEMENT EXECUTE FUNCTION sessions_app_credentials_changed();
CREATE TRIGGER credentials_emptied AFTER TRUNCATE ON auth_user_groups
    FOR EACH STATEMENT EXECUTE FUNCTION sessions_app_credentials_changed();
CREATE TRIGGER credentials_emptied AFTER TRUNCATE ON auth_group
    FOR EACH STATEMENT EXECUTE FUNCTION sessions_app_credentials_changed();
"""
NOTIFY_NOT = """
DROP TRIGGER credentials_changed ON sessions_app_apitoken;
DROP TRIGGER credentials_changed ON auth_user;
DROP TRIGGER credentials_changed ON auth_user_groups;
DROP TRIGGER credentials_changed ON auth_group;
DROP TRIGGER credentials_emptied ON sessions_app_apitoken;
DROP TRIGGER credentials_emptied ON auth_user;
DROP TRIGGER credentials_emptied ON auth_user_groups;
DROP TRIGGER credentials_emptied ON auth_group;
DROP FUNCTION sessions_app_credentials_changed();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("sessions_app", "0017_idle_told_at"),
    ]

    operations = [migrations.RunSQL(NOTIFY, NOTIFY_NOT)]
