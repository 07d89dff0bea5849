"""Several statements in one round trip to the database, each compiled only once.

Building and compiling a QuerySet takes longer than PostgreSQL takes to run it. A `Statement` does that once in a
process; the QuerySet stays its only source, so that a changed model changes it too.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final, Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, connection, connections, models
from django.db.models import QuerySet
from django.db.models.base import ModelState
from django.db.models.sql import DeleteQuery, UpdateQuery

from events_app.database import pipeline
from events_app.database.any_of import Place, as_parameter
from events_app.database.pipeline import Query, Row

__all__ = [
    "Query",
    "Row",
    "Rows",
    "Statement",
    "instance",
    "plan_by_index",
    "query_of",
    "rows_of",
    "together",
]


Model = TypeVar("Model", bound=models.Model)


class Statement:
    """A QuerySet of plain rows that is compiled at its first use.

    Args:
        build: gets, for each of its parameters, a list that is not known yet, and returns the QuerySet. It passes the
            lists to lookups `any`, each at least once. Everything else in it is the same at each use.
        delete: whether it deletes the rows, and returns none. What refers to them the database deletes, if anything.
        update: the columns that it sets, with their new values; then it returns no rows.
    """

    def __init__(
        self,
        build: Callable[..., "QuerySet[Any, Any]"],
        *,
        delete: bool = False,
        update: Mapping[str, Any] | None = None,
    ) -> None:
        self._build: Final = build
        self._delete: Final = delete
        self._update: Final = update

    def __call__(self, *lists: Collection[Any]) -> Query:
        """Return it with these values."""
        sql, params, count = self._compiled
        assert len(lists) == count, "a list for each parameter"
        values = [as_parameter(one) for one in lists]
        params = [values[one[0]] if isinstance(one, Place) else one for one in params]
        return Query(sql, params, is_hot=True)

    @cached_property
    def _compiled(self) -> tuple[str, Sequence[Any], int]:
        places = [Place([number]) for number in range(self._build.__code__.co_argcount)]
        query = self._build(*places).query
        if self._delete:
            query = query.chain(DeleteQuery)
        elif self._update is not None:
            updating: Any = query.chain(UpdateQuery)
            updating.add_update_values(self._update)
            query = updating
        sql, params = query.sql_with_params()
        assert {one[0] for one in params if isinstance(one, Place)} == set(range(len(places)))
        return sql, params, len(places)


class Rows(Generic[Model]):
    """Plain rows of a table, and its model instances made of them.

    Args:
        model: the table.
        read: the columns that are read; the others are deferred. Without any, all.
    """

    def __init__(self, model: type[Model], *read: str) -> None:
        self._model: Final = model
        every = [field.attname for field in model._meta.concrete_fields]
        # In the order in which the model has them.
        self.columns: Final = [one for one in every if one in read] if read else every

    def instances(self, rows: Iterable[Row]) -> Iterator[Model]:
        """Yield the instances of rows that have these columns, in the order of `columns`."""
        for row in rows:
            yield instance(self._model, dict(zip(self.columns, row, strict=True)))


def instance(
    model: type[Model], values: dict[str, Any], related: Mapping[str, Any] | None = None
) -> Model:
    """Return an instance as `Model.from_db` makes it of a row, in a fifth of its time.

    It sends no signals (`pre_init`, `post_init`), and takes each value as it is.

    Args:
        model: the table.
        values: by the names of the columns; those that are left out are deferred. The instance keeps it.
        related: instances that foreign keys refer to, by the names of the fields.
    """
    one = model.__new__(model)
    one.__dict__ = values
    state = values["_state"] = ModelState()
    state.adding, state.db = False, DEFAULT_DB_ALIAS
    if related:
        state.fields_cache.update(related)
    return one


def rows_of(query: Query) -> list[Row]:
    """Run one; return its rows."""
    return together(query)[0]


def query_of(queryset: "QuerySet[Any, Any]") -> Query:
    """Return the query of a QuerySet of plain rows, for `together`."""
    return Query(*queryset.query.sql_with_params())


def together(*queries: Query, commits: bool = False) -> list[list[Row]]:
    """Run these in their order, in one round trip (libpq's pipeline mode); return the rows of each.

    PostgreSQL begins each when the one before has ended. So each has a snapshot of its own, and sees what was committed
    while those before it waited for locks. Where somebody follows the statements of the connection (Django's
    `execute_wrapper`, or its log of queries) they are sent one by one, which has the same outcome.

    Args:
        queries: the statements.
        commits: whether nothing follows in the transaction. Then COMMIT goes with them, if they are in the outermost
            `atomic` block; the end of the block finds nothing to commit. If the connection is lost, nobody knows
            whether it was committed: as if it were lost at the end of the block.

    Raises:
        DatabaseError: that of the first one that fails; those behind it are not run.
    """
    database = connections[DEFAULT_DB_ALIAS]
    if database.execute_wrappers or database.queries_logged:
        return [_by_itself(query) for query in queries]
    database.validate_no_broken_transaction()
    database.ensure_connection()
    # Each block within the outermost one has its savepoint, or None.
    commits = commits and database.in_atomic_block and not database.savepoint_ids
    with database.wrap_database_errors:
        return pipeline.run(database.connection, queries, commits=commits)


def plan_by_index() -> None:
    """Have all statements of this connection planned by an index, as hot ones, until its end.

    This is for connections that run hot statements nearly always: their transactions need not say it again.
    """
    database = connections[DEFAULT_DB_ALIAS]
    database.ensure_connection()
    with database.wrap_database_errors:
        pipeline.plan_by_index(database.connection)


def _by_itself(query: Query) -> list[Row]:
    with connection.cursor() as cursor:
        cursor.execute(query.sql, query.params)
        return cursor.fetchall() if cursor.description else []
