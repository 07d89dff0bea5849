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
        is_hot: whether it is run again and again, so that PostgreSQL shall keep it prepared.
    """

    sql: str
    params: Sequence[Any]
    is_hot: bool = False


class _Prepared(NamedTuple):
    """The statements that a connection has prepared, by their text and the types of their parameters."""

    names: dict[tuple[bytes, tuple[int, ...]], bytes]
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
    prepared = _PREPARED.setdefault(connection, _Prepared({}, count(1)))
    pgconn = connection.pgconn
    pgconn.enter_pipeline_mode()
    try:
        sent = _send(connection, queries, prepared)
        pgconn.pipeline_sync()
        results = _results(pgconn)
    except BaseException:
        # What is under way would be taken for the answers to what comes next.
        connection.close()
        raise
    pgconn.exit_pipeline_mode()
    if failed := next((one for one in results if one.status not in _DONE), None):
        error = error_from_result(failed, connection.info.encoding)
        if isinstance(error, _PREPARED_NO_MORE):
            prepared.names.clear()
        raise error
    rows: list[list[Row]] = []
    for result, (key, transformer) in zip(results, sent, strict=True):
        if key is not None:
            prepared.names[key[0]] = key[1]
        if transformer is not None:
            rows.append(_rows(transformer, result))
    return rows


# Of a command that was sent: the name that it gives a statement, by what it is kept; and what reads its rows, if any.
_Sent = tuple[tuple[tuple[bytes, tuple[int, ...]], bytes] | None, Any]


def _send(
    connection: psycopg.Connection[Any], queries: Sequence[Query], prepared: _Prepared
) -> list[_Sent]:
    pgconn = connection.pgconn
    sent: list[_Sent] = []
    new: dict[tuple[bytes, tuple[int, ...]], bytes] = {}
    if not connection.autocommit and pgconn.transaction_status == pq.TransactionStatus.IDLE:
        pgconn.send_query_params(b"BEGIN", None)
        sent.append((None, None))
    for query in queries:
        transformer = Transformer.from_context(connection)
        sql = _numbered(query.sql)
        values = transformer.dump_sequence(query.params, [PyFormat.AUTO] * len(query.params))
        types, formats = transformer.types or (), transformer.formats
        if not query.is_hot:
            pgconn.send_query_params(sql, values, types, formats)
        else:
            key = sql, types
            name = prepared.names.get(key) or new.get(key)
            if name is None:
                name = new[key] = b"silo_%d" % next(prepared.numbers)
                pgconn.send_prepare(name, sql, types)
                sent.append(((key, name), None))
            pgconn.send_query_prepared(name, values, formats)
        sent.append((None, transformer))
    return sent


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


def _rows(transformer: Any, result: Any) -> list[Row]:
    transformer.set_pgresult(result)
    rows: list[Row] = transformer.load_rows(0, result.ntuples, tuple)
    return rows


@lru_cache(maxsize=1000)
def _numbered(sql: str) -> bytes:
    """Return a statement with PostgreSQL's own places for its parameters."""
    numbers = count(1)
    return _PLACES.sub(lambda one: "%" if one[0] == "%%" else f"${next(numbers)}", sql).encode()
