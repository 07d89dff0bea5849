"""libpq's pipeline mode over Django's connection: several statements in one round trip, prepared once each.

psycopg has a pipeline mode of its own. It costs a cursor, a lock and two generators a statement: 150 us of CPU each,
where sending and reading it through psycopg's binding of libpq takes 10.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import count
from select import POLLIN, POLLOUT, poll
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

import psycopg
from psycopg import pq
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result

Row = tuple[Any, ...]

_PLACES: Final = re.compile(r"%(?:s|%)")
_DONE: Final = frozenset({pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK})
# What PostgreSQL says of a prepared statement that a change of the schema has made useless, or that is not there.
_PREPARED_NO_MORE: Final = (
    psycopg.errors.FeatureNotSupported,
    psycopg.errors.InvalidSqlStatementName,
)


class Query(NamedTuple):
    """A statement with its parameters.

    Args:
        sql: with a `%s` for each parameter, as Django writes it.
        params: the parameters.
        is_hot: whether it is run again and again, so that PostgreSQL shall keep it prepared, with one plan for all
            parameters. It is about one table, or makes rows of its parameters.
    """

    sql: str
    params: Sequence[Any]
    is_hot: bool = False


# PostgreSQL keeps a plan until the table is analyzed again. One that reads a small table from its beginning to its end
# would still do so when a million rows have come, for up to a minute and at every request; one that goes by an index is
# right at any size. This holds to the end of the transaction.
_BY_INDEX: Final = Query(
    "SELECT set_config('enable_seqscan', 'off', true), set_config('plan_cache_mode', 'force_generic_plan', true)",
    (),
    is_hot=True,
)


# A statement that a connection has prepared: its text, and the types of its parameters.
_Key = tuple[bytes, tuple[int, ...]]


class _Prepared(NamedTuple):
    """The names of the statements that a connection has prepared."""

    names: dict[_Key, bytes]
    numbers: Iterator[int]


_PREPARED: Final[WeakKeyDictionary[psycopg.Connection[Any], _Prepared]] = WeakKeyDictionary()


def run(connection: psycopg.Connection[Any], queries: Sequence[Query]) -> list[list[Row]]:
    """Run these in their order and return the rows of each; a transaction is begun first where one is due.

    Args:
        connection: one that no other thread uses.
        queries: the statements.

    Raises:
        psycopg.Error: that of the first one that fails; those behind it are not run.
    """
    pgconn = connection.pgconn
    batch = _Batch(connection)
    pgconn.enter_pipeline_mode()
    try:
        batch.send(queries)
        pgconn.pipeline_sync()
        results = _results(pgconn)
    except BaseException:
        # What is under way would be taken for the answers to what comes next.
        connection.close()
        raise
    pgconn.exit_pipeline_mode()
    return batch.rows(results)


class _Sent(NamedTuple):
    """A command that was sent.

    Args:
        reader: what reads its rows; None where they are not asked for.
        prepares: what it prepares, if anything, and by which name.
    """

    reader: Any = None
    prepares: tuple[_Key, bytes] | None = None


class _Batch:
    """The commands of one round trip."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        self._prepared = _PREPARED.setdefault(connection, _Prepared({}, count(1)))
        self._sent: list[_Sent] = []
        # What is not prepared yet, but will be when the commands behind it are run.
        self._new: dict[_Key, bytes] = {}

    def send(self, queries: Sequence[Query]) -> None:
        """Send these, with what has to be sent before them."""
        # The plans are chosen for one transaction: outside of one nothing is prepared.
        in_transaction = not self._connection.autocommit
        if in_transaction and self._pgconn.transaction_status == pq.TransactionStatus.IDLE:
            self._pgconn.send_query_params(b"BEGIN", None)
            self._sent.append(_Sent())
        if in_transaction and any(query.is_hot for query in queries):
            self._send(_BY_INDEX, prepare=True, is_asked=False)
        for query in queries:
            self._send(query, prepare=query.is_hot and in_transaction)

    def _send(self, query: Query, *, prepare: bool, is_asked: bool = True) -> None:
        reader = Transformer.from_context(self._connection)
        sql = _numbered(query.sql)
        values = reader.dump_sequence(query.params, [PyFormat.AUTO] * len(query.params))
        types, formats = tuple(reader.types or ()), reader.formats
        if prepare:
            name = self._name((sql, types))
            self._pgconn.send_query_prepared(name, values, formats)
        else:
            self._pgconn.send_query_params(sql, values, types, formats)
        self._sent.append(_Sent(reader if is_asked else None))

    def _name(self, key: _Key) -> bytes:
        """Return the name of a prepared statement, which is prepared where it is not yet."""
        name = self._prepared.names.get(key) or self._new.get(key)
        if name is None:
            name = self._new[key] = b"silo_%d" % next(self._prepared.numbers)
            self._pgconn.send_prepare(name, *key)
            self._sent.append(_Sent(prepares=(key, name)))
        return name

    def rows(self, results: Sequence[Any]) -> list[list[Row]]:
        """Return the rows of each statement.

        Raises:
            psycopg.Error: one has failed.
        """
        rows: list[list[Row]] = []
        for result, (reader, prepares) in zip(results, self._sent, strict=True):
            if result.status not in _DONE:
                raise self._error(result)
            if prepares is not None:
                self._prepared.names.update([prepares])
            if reader is not None:
                reader.set_pgresult(result)
                rows.append(reader.load_rows(0, result.ntuples, tuple))
        return rows

    def _error(self, result: Any) -> psycopg.Error:
        error = error_from_result(result, self._connection.info.encoding)
        if isinstance(error, _PREPARED_NO_MORE):
            self._prepared.names.clear()
        return error


def _results(pgconn: Any) -> list[Any]:
    """Return the results of the commands that were sent, up to the synchronization."""
    waiting = poll()
    waiting.register(pgconn.socket, POLLIN | POLLOUT)
    # Read while writing: the server stops reading where its answers are not read.
    while pgconn.flush():
        waiting.poll()
        pgconn.consume_input()
    waiting.modify(pgconn.socket, POLLIN)
    results: list[Any] = []
    while True:
        while pgconn.is_busy():
            waiting.poll()
            pgconn.consume_input()
        result = pgconn.get_result()
        if result is None:
            # The end of one command's results.
            continue
        if result.status == pq.ExecStatus.PIPELINE_SYNC:
            return results
        results.append(result)


@lru_cache(maxsize=1000)
def _numbered(sql: str) -> bytes:
    """Return a statement with PostgreSQL's own places for its parameters."""
    numbers = count(1)
    return _PLACES.sub(lambda one: "%" if one[0] == "%%" else f"${next(numbers)}", sql).encode()
