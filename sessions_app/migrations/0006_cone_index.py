import django.contrib.postgres.indexes
from django.db import migrations

import sessions_app.interference.cones

# The upper half of a number is the item's: what an item's cones have lies together in the index, and a key that every
# item has is another number on each. Different keys may get the same number, so who asks by it compares the keys, too.
# The cost is about what it takes; with less, small tables would be read whole, and each of their cones hashed.
FUNCTION = """
CREATE FUNCTION sessions_app_cone_keys(item uuid, cone text[]) RETURNS bigint[]
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 1000 AS $$
    SELECT coalesce(
        array_agg(DISTINCT (uuid_hash(item)::bigint << 32) | (hashtext(key)::bigint & 4294967295)),
        '{}'
    )
    FROM unnest(cone) key
$$
"""

# ANALYZE would hash the cones of 30,000 rows, for statistics that nobody asks for.
NO_STATISTICS = "ALTER INDEX edit_session_cone_keys ALTER COLUMN 1 SET STATISTICS 0"


class Migration(migrations.Migration):
    dependencies = [("sessions_app", "0005_line_handoff_idle")]

    operations = [
        migrations.RunSQL(FUNCTION, "DROP FUNCTION sessions_app_cone_keys"),
        migrations.AddIndex(
            model_name="editsession",
            index=django.contrib.postgres.indexes.GinIndex(
                sessions_app.interference.cones.ConeKeys("item", "dependency_cone"),
                fastupdate=False,
                name="edit_session_cone_keys",
            ),
        ),
        migrations.RunSQL(NO_STATISTICS, migrations.RunSQL.noop),
    ]
