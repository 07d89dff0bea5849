"""Fills a build's database with very many sessions, by copying a row of each kind in SQL.

The copies take their columns from the row that the build's own models made, whichever columns these are.
"""

from benchmarks.build import Build

# Each workstation of the crowd has so many sessions.
SESSIONS_OF_ONE = 10
# A user may hold 20,000.
SESSIONS_OF_USER = 10_000

COPY = """
    INSERT INTO {table} SELECT (jsonb_populate_record(original, jsonb_build_object({changed}))).*
    FROM {table} original, generate_series(1, %(count)s) number WHERE original.id = %(original)s
"""
ITEM = "'id', gen_random_uuid(), 'part_number', %(name)s || number, 'key', %(name)s || number"
WORKSTATION = (
    "'id', gen_random_uuid(), 'fingerprint', %(name)s || number,"
    " 'user_id', (%(users)s::int[])[1 + number %% cardinality(%(users)s::int[])]"
)
SESSIONS = """
    WITH item AS (
        SELECT id, row_number() OVER () AS number FROM (
            SELECT id FROM sessions_app_item WHERE part_number LIKE %(name)s || '%%' LIMIT %(count)s
        ) free
    ), workstation AS (
        SELECT id, user_id, row_number() OVER () AS number FROM sessions_app_workstation
        WHERE fingerprint LIKE %(name)s || '%%'
    )
    INSERT INTO sessions_app_editsession
    SELECT (jsonb_populate_record(original, jsonb_build_object(
        'id', gen_random_uuid(), 'item_id', item.id, 'workstation_id', workstation.id,
        'user_id', workstation.user_id, 'fencing_token', nextval('sessions_app_fencing_token'),
        'last_heartbeat', now() - CASE WHEN item.number <= %(stale)s
            THEN interval '2 hours' ELSE interval '0' END
    ))).*
    FROM sessions_app_editsession original, item
    JOIN workstation ON workstation.number = 1 + item.number %% %(workstations)s
    WHERE original.id = %(original)s
"""
# Until a whole time-out was observed nothing expires.
OBSERVED = "UPDATE events_app_observation SET since = now() - interval '1 day'"


class Mass:
    """A crowd of sessions, each on an item of its own, of workstations without a stream.

    Args:
        build: whose database it is.
        most: how many sessions there can be.
    """

    def __init__(self, build: Build, most: int) -> None:
        self._build = build
        self._name = f"mass{most}-"
        self._workstations = max(1, most // SESSIONS_OF_ONE)
        users = build.seed("users", max(1, most // SESSIONS_OF_USER))
        self._users = [pk for pk, _ in users]
        self._part: str = build.seed("items", 1)[0]
        self._workstation = build.workstations(1)[0]
        self._item = self._one(
            "SELECT id FROM sessions_app_item WHERE part_number = %s", self._part
        )
        self._copy("sessions_app_item", ITEM, self._item, most)
        self._copy("sessions_app_workstation", WORKSTATION, self._workstation, self._workstations)
        build.database.execute(OBSERVED)

    def fill(self, count: int, stale: int) -> None:
        """Have exactly so many sessions, some of them stale, all there at once."""
        database = self._build.database
        self.clear()
        self._build.seed("sessions", [self._workstation], [self._part])
        original = self._one(
            "SELECT id FROM sessions_app_editsession WHERE workstation_id = %s", self._workstation
        )
        with database.transaction():
            database.execute(
                SESSIONS,
                {
                    "name": self._name,
                    "count": count,
                    "stale": stale,
                    "workstations": self._workstations,
                    "original": original,
                },
            )
        database.execute("VACUUM ANALYZE sessions_app_editsession")

    def clear(self) -> None:
        """Remove all sessions, without record or event."""
        self._build.database.execute("TRUNCATE sessions_app_editsession CASCADE")

    def _copy(self, table: str, changed: str, original: object, count: int) -> None:
        statement = COPY.format(table=table, changed=changed)
        values = {"count": count, "name": self._name, "original": original}
        if "%(users)s" in changed:
            values["users"] = self._users
        self._build.database.execute(statement.encode(), values)
        self._build.database.execute(f"ANALYZE {table}".encode())

    def _one(self, query: str, value: object) -> object:
        row = self._build.database.execute(query.encode(), [value]).fetchone()
        assert row
        return row[0]
