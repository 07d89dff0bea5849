"""The lookup `any`: a column is one of many values, which go to PostgreSQL as one parameter."""

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field, ForeignObject, Lookup
from django.db.models.sql.compiler import SQLCompiler


@ForeignObject.register_lookup
@Field.register_lookup
class AnyOf(Lookup):
    """`filter(pk__any=ids)` asks what `filter(pk__in=ids)` asks, for values that the database can compare as they are.

    A thousand parameters take Django and psycopg longer to write than one: a count of 1,000 rows by their ids took 8.3
    ms of CPU with `any` and 12.4 with `in`, on a loaded machine.
    """

    lookup_name = "any"
    prepare_rhs = False

    def as_sql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper
    ) -> tuple[str, tuple[Any, ...]]:
        column, params = self.process_lhs(compiler, connection)
        # A list goes as it is: in a `round_trip.Statement` it only stands for one.
        values = self.rhs if isinstance(self.rhs, list) else list(self.rhs)
        return f"{column} = ANY(%s)", (*params, values)
